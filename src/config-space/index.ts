/** The configuration-space filter. */
export type { AccessSize, ConfigAccess, Resource } from './access.ts';
export { compileFilter, type CompiledFilter } from './compile.ts';
export { ConfigFilter, type FilterEffects } from './filter.ts';
export { conform, type ConformFailure, type ConformReport } from './conform.ts';
export { describe, type RegisterDescription } from './describe.ts';
export { interruptMode, type InterruptMode, setMsi, setMsix } from './interrupts.ts';
export { defaultMode, type FilterMode } from './mode.ts';
export { answers } from './presence.ts';
export { isInD3hot } from './pm.ts';
export { proposeQuirks } from './propose.ts';
export type { Image } from './image.ts';
export { formatQuirk, parseQuirk, type Quirk, type QuirkChange, withQuirk } from './quirks.ts';
export { FunctionRecord, InterruptKind, lifeWord, recordSize } from './record.ts';
export type { Register } from './register.ts';
export { type RegisterClass, registerClasses } from './register-class.ts';
export {
  hasPendingTransactions,
  type Mismatch,
  quiesce,
  reapply,
  restoreConfig,
  saveConfig,
  verifyConfig,
} from './restore.ts';
export { RamConfig } from './ram.ts';
export { type Signalling, signallingOf } from './signalling.ts';
export { type FunctionIdentity, requireKnownLayout, seize, type Seized, seizedFrom } from './seize.ts';
