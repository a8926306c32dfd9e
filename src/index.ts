/**
 * pciback as a library: a PCI passthrough back-end that a dom0 supervisor embeds.
 *
 *     const backend = new PciBackend({ platform: { kind: 'loopback', directory } });
 *     backend.events$.subscribe((event) => log(event));
 *     await backend.start();
 */
export { type Sbdf, formatSbdf, makeSbdf, parseSbdf } from './address.ts';
export { PciBackend } from './backend.ts';
export type { HideOutcome, UnhideOutcome } from './backend/host-functions.ts';
export { type Denial, type Explanation, explainFacts } from './backend/explain.ts';
export type { QuirkOutcome } from './backend/methods.ts';
export type {
  PciBackendOptions,
  StandInProcess,
  StandsIn,
  StartStandIn,
  Succession,
} from './backend/options.ts';
export type {
  BackendStatus,
  ExportedStatus,
  FunctionStatus,
  GuestStatus,
  ServedBy,
} from './backend/status.ts';
export { PcibackError, type Reason, reasons } from './errors.ts';
export type { EventBudget } from './monitor/event-budget.ts';
export type { BackendEvent, EventType } from './monitor/events.ts';
export type { ListenAddress } from './monitor/listen-address.ts';
export {
  type FunctionFacts,
  type Inventory,
  type InventoryOptions,
  className,
  demoInventory,
  describe,
  hostInventory,
  isBridge,
  isExportable,
  loadNames,
  type ResetMethod,
  resetMethods,
} from './host/index.ts';
export type { ResetOutcome } from '../machines/function.ts';
export type { TopologyKind } from './topology/index.ts';
