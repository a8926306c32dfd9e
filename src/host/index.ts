/** The machine that pciback runs on: its PCI functions, and the platform that serves guests. */
export {
  bindStub,
  type FormerBinding,
  formerBinding,
  type StubBinding,
  type StubChange,
  type StubDriver,
  stubDriver,
  unbindStub,
} from './driver-binding.ts';
export { type FileLock, hasVanished, lockFile, mapFile, unmapFile, waitForLock } from './files.ts';
export { sampleFunction } from './captures/index.ts';
export * from './functions.ts';
export { FrontRing, type FrontRingOptions } from './front-ring.ts';
export { type HostRoot, linuxHost } from './host-root.ts';
export { Hypervisor } from './hypervisor.ts';
export { LoopbackPlatform } from './loopback.ts';
export { ensureModel, listModels } from './model-file.ts';
export { type Delay, ModelFault, ModelFunction, openModel } from './model.ts';
export { openPlatform } from './open-platform.ts';
export { leftByDriver } from './power-up.ts';
export type {
  Answer,
  FunctionFacts,
  HostFunction,
  Look,
  Platform,
  PlatformOptions,
  Ring,
  Taken,
} from './platform.ts';
export { goAhead, setPriorityOfThreads } from './priority.ts';
export { leaveProcessGroup } from './process-group.ts';
export { unblockStandardError } from './standard-error.ts';
export { type ConfigFile, type ConfigFileClass, SysfsFunction } from './sysfs-function.ts';
export { requireAnswer, seizeFunction } from './silent.ts';
export { isStub } from './stubs.ts';
export { sharedPages, type SharedPage } from './shared-pages.ts';
export {
  asideSuffix,
  makeNamedDirectory,
  makeSharedDirectory,
  type StateFiles,
  stateFiles,
} from './state-files.ts';
