/** The PCI functions that the machine has, and what they are called: what is told without opening a platform. */
export { className } from './class-codes.ts';
export { isBridge, isHostBridge } from './identity.ts';
export {
  captureInventory,
  demoInventory,
  hostInventory,
  type InventoryOptions,
  isExportable,
} from './inventory.ts';
export { describe, loadNames, type Names } from './names.ts';
export { type ResetMethod, resetMethods } from './reset.ts';
export type { SilentFunction } from './silent.ts';
export { allFunctions, type Inventory, readSysfs, readSysfsFunction } from './sysfs.ts';
