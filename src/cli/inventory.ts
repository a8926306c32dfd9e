/** The PCI functions that a command is about. */
import { hostInventory, type InventoryOptions, isBridge } from '../host/functions.ts';
import type { BackendStatus } from '../index.ts';
import { type ControlClient, type InventoryReport, reportInventory } from '../monitor/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { type HostFunctions, parseSbdf, PcibackError, type Sbdf } from '../toolstack/grammars.ts';

/** Those that the running daemon has; without one, those that this host shows. */
export async function askInventory(
  daemon: ControlClient | undefined,
  signal: AbortSignal,
  options: InventoryOptions = {},
): Promise<InventoryReport> {
  return daemon
    ? daemon.call<InventoryReport>('inventory', {}, { signal })
    : reportInventory(hostInventory(options));
}

/** The functions of an inventory, for specifications to be resolved against. */
export function hostFunctions(
  { functions }: InventoryReport,
  names: ReadonlyMap<string, Sbdf>,
): HostFunctions {
  const buses = new Map(
    functions.map(({ sbdf, secondaryBus }) => [parseSbdf(sbdf), secondaryBus ?? undefined]),
  );
  return {
    functions: [...buses.keys()].filter((sbdf) => sbdf !== undefined),
    secondaryBus: (bridge) => buses.get(bridge),
    named: (name) => names.get(name),
  };
}

/** On a guest's own flat bus there is no place for a bridge, and a guest that is starting would lose all it has to it. */
export function requireExportable(
  { functions }: InventoryReport,
  { topology }: BackendStatus,
  sbdf: string,
): void {
  const found = functions.find((each) => each.sbdf === sbdf);
  if (topology !== 'vpci' || !found || !isBridge(found)) return;
  throw new PcibackError(
    'BRIDGE',
    `${sbdf} is a bridge, and guests have a flat bus of their own`,
    'give the guest what is behind it, or serve with --topology passthrough',
  );
}

/**
 * Throws unless the daemon can give the function away: NOT-HIDDEN, QUARANTINED or FUNCTION-IN-USE. What is being taken back
 * from a domain that is gone, or reset, will be free in a moment, and the daemon waits for it.
 */
export async function requireFree(
  { functions, guests }: BackendStatus,
  sbdf: string,
  store: XenstoreClient,
): Promise<void> {
  const found = functions.find((each) => each.sbdf === sbdf);
  if (!found) {
    throw new PcibackError(
      'NOT-HIDDEN',
      `${sbdf} has not been taken from its host driver`,
      `hide it: pciback hide ${sbdf}`,
    );
  }
  const { owner, state, reason } = found;
  if (owner !== null) {
    if (owner === 0 || !(await store.isIntroduced(owner))) return;
    const name = guests.find(({ domid }) => domid === owner)?.name;
    throw new PcibackError(
      'FUNCTION-IN-USE',
      `${sbdf} belongs to domain ${owner}${name ? ` (${name})` : ''}`,
      `take it back first: pciback detach ${owner} ${sbdf}`,
    );
  }
  if (state === 'hidden') return;
  throw new PcibackError(
    'QUARANTINED',
    `${sbdf} is ${state}${reason === null ? '' : `: ${reason}`}`,
    `reset it first: pciback reset ${sbdf}`,
  );
}
