/** The guest's side: a front-end, the bus that it sees, and guests that are processes of their own. */
export type { Bar } from './bars.ts';
export { GuestBus, RequestRefused, type InterruptState } from './bus.ts';
export { offsetOf, type Capability, type MsiShape, type MsixShape } from './capabilities.ts';
export { ConfigSpace, type AccessWidth } from './config.ts';
export type { GuestFunction } from './enumerate.ts';
export { listBus, listFunction } from './listing.ts';
export {
  Requester,
  requestAddress,
  type RawAnswer,
  type RawRequest,
  type RequestChannel,
} from './requests.ts';
export { defaultRoot, parseRoot, type RootBus } from './scan.ts';
export { FrontEnd, type FrontEndEvent, type FrontEndOptions } from './frontend.ts';
export type { GrantedChannel, GuestHypervisor } from './hypervisor.ts';
export type { GuestStore, StoreAccess } from './store.ts';
export { linux } from './variants/linux.ts';
export { minios } from './variants/minios.ts';
export { netbsd } from './variants/netbsd.ts';
export type { FrontendVariant } from './variants/variant.ts';
export type { Attempt, AttemptResult, HostileContext, Verdict } from './hostile/attempt.ts';
export { catalogue } from './hostile/catalogue.ts';
export type { RawPage } from './hostile/raw-page.ts';
export { attempt } from './hostile/run.ts';
export { createDomain, destroyDomain, domainState, setDomainState, type DomainState } from './domain.ts';
export { GuestGone, GuestProcess, type GuestExit, type GuestProcessOptions } from './guest-process.ts';
export type * from './guest-protocol.ts';
export type { InterruptLines } from './hypervisor.ts';
export { Load, type LoadReport } from './load.ts';
export { connectGuest, LoopbackHypervisor, type GuestConnection } from './loopback.ts';
