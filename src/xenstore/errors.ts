import { PcibackError } from '../errors.ts';

/** xenstored turned a request down. `code` is the errno name as it came over the wire, also one that is in no header. */
export class XenstoreError extends PcibackError {
  readonly code: string;
  /** The name of the request: READ, WRITE ... */
  readonly operation: string;
  /** The path or domain that the request named. */
  readonly subject: string;

  constructor(code: string, operation: string, subject: string, detail = 'xenstored refused it') {
    super('XENSTORE-REFUSED', `${operation} ${subject}: ${code}, ${detail}`, remedies[code] ?? defaultRemedy);
    this.code = code;
    this.operation = operation;
    this.subject = subject;
  }
}

const defaultRemedy = 'compare the path and the request with the state of the store (xenstore-ls -fp)';
const remedies: Partial<Record<string, string>> = {
  EACCES: 'run as domain 0, or have the owner of the node grant access (xenstore-chmod)',
  EPERM: 'only domain 0 may give a node to another owner',
  E2BIG: 'keep a request within 4096 bytes, and the number of watches within the quota',
  ENOSPC: 'the quota of the domain is used up: remove nodes, watches or transactions',
  EQUOTA: 'the quota of the domain is used up: remove nodes, watches or transactions',
  EAGAIN: 'other writers keep changing the same nodes: try again later',
};

/**
 * The connection to xenstored went away, or did not answer in time, while a request or a transaction was under way.
 * Whether it took effect is not known. Safe to try again once the request is known to bear repetition; watches ring
 * after every reconnect, so level-triggered code does that by itself.
 */
export class ConnectionLost extends PcibackError {
  readonly retryable = true;

  constructor(what: string, options?: ErrorOptions) {
    super('NO-XENSTORE', what, 'try again; if it persists, see whether xenstored runs', options);
  }
}

/** True when the error is xenstored's refusal with this errno name. */
export const refusedWith = (error: unknown, ...codes: string[]): error is XenstoreError =>
  error instanceof XenstoreError && codes.includes(error.code);
