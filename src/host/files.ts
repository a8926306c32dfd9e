/** Files as memory, and files as locks. */
import { getSystemErrorName } from 'node:util';
import { PcibackError } from '../errors.ts';
import { nativeAddon } from './native.ts';

/**
 * Maps the first `bytes` bytes of a file, shared with everybody who maps it. With `create`, a missing file is made and a short
 * one grown. All buffers of one file in this process are of one mapping, which goes with the last of them: with `unmapFile`, or when
 * the buffer is collected. Sending the buffer to another thread sends a copy, so map there.
 * @throws NativeError named by errno: ENOENT, EACCES, ENOSPC, ENXIO (too short), ENOMEM (too many mappings) ...
 */
export function mapFile(
  path: string,
  bytes: number,
  options: { readonly create?: boolean } = {},
): ArrayBuffer {
  return nativeAddon().mapFile(path, bytes, options.create ?? false);
}

/** Takes the mapping from this buffer, which is empty from now on, as are all arrays over it. May be called twice. */
export function unmapFile(buffer: ArrayBuffer): void {
  nativeAddon().unmapFile(buffer);
}

/** Whether the file behind a mapping was truncated: what is read there are zeroes, what is written there goes nowhere. */
export function hasVanished(buffer: ArrayBuffer): boolean {
  return nativeAddon().hasVanished(buffer);
}

export interface FileLock {
  /** Gives the lock up. May be called twice. */
  unlock(): void;
}

/**
 * Takes the exclusive lock on a file, which is made if need be, until `unlock` or the end of the process however it comes.
 * Returns false when somebody else holds it.
 */
export function lockFile(path: string): FileLock | false {
  const unlock = nativeAddon().lockFile(path);
  return unlock && { unlock };
}

/**
 * Takes the lock as soon as nobody else holds it: the kernel hands it on at the death of its holder. Rejects with BAD-DIRECTORY when
 * the file can be locked no more, and with the reason of `signal`.
 */
export async function waitForLock(path: string, signal: AbortSignal): Promise<FileLock> {
  signal.throwIfAborted();
  let giveUp = (): void => {};
  const abort = (): void => giveUp();
  try {
    const granted = await new Promise<(() => void) | number>((resolve) => {
      giveUp = nativeAddon().waitForLock(path, resolve);
      signal.addEventListener('abort', abort, { once: true });
    });
    if (typeof granted !== 'number') return { unlock: granted };
    signal.throwIfAborted();
    const message = `${path} cannot be locked: ${getSystemErrorName(-granted)}`;
    throw new PcibackError('BAD-DIRECTORY', message, 'see that the directory is still there');
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
