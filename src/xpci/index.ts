/** The guest's side: a front-end, the bus that it sees, and guests that are processes of their own. */

// A bus, over whatever carries requests.
export type { Bar } from './bars.ts';
export { GuestBus, type InterruptState, RequestRefused } from './bus.ts';
export { type Capability, type MsiShape, type MsixShape, offsetOf } from './capabilities.ts';
export { type AccessWidth, ConfigSpace } from './config.ts';
export type { GuestFunction } from './enumerate.ts';
export { listBus, listFunction } from './listing.ts';
export { Load, type LoadReport } from './load.ts';
export {
  type RawAnswer,
  type RawRequest,
  requestAddress,
  type RequestChannel,
  Requester,
} from './requests.ts';
export { defaultRoot, parseRoot, type RootBus } from './scan.ts';

// A front-end, over whatever stands for a hypervisor and a store.
export { FrontEnd, type FrontEndEvent, type FrontEndOptions } from './frontend.ts';
export type { GrantedChannel, GuestHypervisor, InterruptLines } from './hypervisor.ts';
export type { GuestStore, StoreAccess } from './store.ts';
export { linux } from './variants/linux.ts';
export { minios } from './variants/minios.ts';
export { netbsd } from './variants/netbsd.ts';
export type { FrontendVariant } from './variants/variant.ts';

// What a hostile guest tries.
export type { Attempt, AttemptResult, HostileContext, Verdict } from './hostile/attempt.ts';
export { catalogue } from './hostile/catalogue.ts';
export type { RawPage } from './hostile/raw-page.ts';
export { attempt } from './hostile/run.ts';

// Guests on the loopback platform.
export { createDomain, destroyDomain, domainState, setDomainState, type DomainState } from './domain.ts';
export { GuestGone, GuestProcess, type GuestExit, type GuestProcessOptions } from './guest-process.ts';
export type * from './guest-protocol.ts';
export { connectGuest, type GuestConnection, LoopbackHypervisor } from './loopback.ts';
