/** The embedded xenstored: a store without I/O, and the daemon that serves it on a loopback hypervisor's directory. */
export { runXenstored, Xenstored, type XenstoredOptions } from './daemon.ts';
export type { DomainState } from './domain.ts';
export type { Session } from './session.ts';
export { Store, type StoreHost } from './store.ts';
