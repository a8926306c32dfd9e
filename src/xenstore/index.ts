/** A client of xenstored: requests, transactions, and watches as streams. */
export { PcibackError } from '../errors.ts';
export { Access, type XenstoreAccess, type XenstoreReader } from './access.ts';
export { XenstoreClient, type XenstoreClientOptions } from './client.ts';
export type { XenstoreCounters } from './counters.ts';
export { ConnectionLost, refusedWith, XenstoreError } from './errors.ts';
export type { LinkState } from './link.ts';
export { formatPermission, parsePermission, type Permission } from './permission.ts';
export { reconcile } from './reconcile.ts';
export {
  type OpenTransport,
  type Transport,
  type TransportHandlers,
  unixSocket,
  xenstoredSocketPath,
} from './transport.ts';
export type { BegunTransaction } from './transaction.ts';
export { again, Again, type WaitOptions } from './wait.ts';
