import { existsSync } from 'node:fs';
import { capturedFunctions } from './captures/index.ts';
import { headerTypeOf, isBridge } from './identity.ts';
import type { FunctionFacts } from './platform.ts';
import { type Inventory, readSysfs } from './sysfs.ts';

export interface InventoryOptions {
  /** A captured tree to use in place of this machine's functions. */
  readonly sysfs?: string | undefined;
  /** Where this machine's functions are described. */
  readonly bus?: string | undefined;
}

/** A device function, which a guest of its own can be given; a bridge cannot. */
export const isExportable = (facts: FunctionFacts): boolean =>
  !isBridge(facts) && headerTypeOf(facts.config) === 0;

/** The functions that are bundled with pciback. */
export const captureInventory = (): Inventory => ({
  functions: byAddress(capturedFunctions()),
  warnings: [],
});

/**
 * The functions of a captured tree if one is named, else this machine's, else - where it has nothing but bridges - the
 * bundled ones. Throws BAD-DIRECTORY when the tree that was named is none.
 */
export function hostInventory({ sysfs, bus = '/sys/bus/pci' }: InventoryOptions = {}): Inventory {
  if (sysfs !== undefined) return readSysfs(sysfs, 'tree');
  const own = existsSync(bus) ? readSysfs(bus, 'host') : nothing;
  if (own.functions.some(isExportable)) return own;
  return { functions: captureInventory().functions, warnings: own.warnings };
}

/**
 * `hostInventory`, topped up with bundled functions of other addresses until at least `count` of all can be exported, as far
 * as there are so many.
 */
export function demoInventory(count: number, options: InventoryOptions = {}): Inventory {
  const { functions, warnings } = hostInventory(options);
  const own = new Set(functions.map(({ sbdf }) => sbdf));
  const chosen = [...functions];
  for (const facts of capturedFunctions()) {
    if (chosen.filter(isExportable).length >= count) break;
    const { sbdf, physicalFunction } = facts;
    // Where the address of its physical function is taken, a virtual function would get a stranger for a parent.
    const misfit = own.has(sbdf) || (physicalFunction !== null && own.has(physicalFunction));
    if (!misfit) chosen.push(facts);
  }
  return { functions: byAddress(chosen), warnings };
}

const nothing: Inventory = { functions: [], warnings: [] };
const byAddress = (functions: readonly FunctionFacts[]): FunctionFacts[] =>
  functions.toSorted((a, b) => a.sbdf - b.sbdf);
