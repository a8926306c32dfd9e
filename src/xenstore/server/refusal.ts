/** The errno names that this server answers with. */
export type Errno =
  | 'EACCES'
  | 'EAGAIN'
  | 'EBUSY'
  | 'EEXIST'
  | 'EINVAL'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'ENOSYS'
  | 'EPERM'
  | 'E2BIG';

/** Thrown anywhere below a request to answer it with an error. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly errno: Errno;

  constructor(errno: Errno) {
    super(errno);
    this.errno = errno;
  }
}

const refusals = new Map<Errno, Refusal>();

/**
 * Throws the refusal. There is one object for each errno: a guest can have itself refused as fast as it can send, and
 * recording a stack each time would cost more than the request.
 */
export function refuse(errno: Errno): never {
  let refusal = refusals.get(errno);
  if (!refusal) refusals.set(errno, (refusal = new Refusal(errno)));
  throw refusal;
}
