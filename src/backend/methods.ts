/** What other processes can ask of a running daemon, over its control socket. */
import { type Sbdf, parseSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { Inventory } from '../host/index.ts';
import { type ControlMethods, reportInventory } from '../monitor/index.ts';
import type { ResetOutcome } from '../../machines/function.ts';
import type { BackendStatus } from './status.ts';

/** The part of the back-end that is offered. */
export interface Operations {
  readonly inventory: Inventory;
  status(): BackendStatus;
  hide(sbdf: Sbdf): Promise<void>;
  unhide(sbdf: Sbdf): Promise<void>;
  reset(sbdf: Sbdf): Promise<ResetOutcome>;
}

export const daemonMethods = (backend: Operations): ControlMethods => ({
  status: () => backend.status(),
  inventory: () => reportInventory(backend.inventory),
  hide: async ({ function: sbdf }) => backend.hide(addressOf(sbdf)),
  unhide: async ({ function: sbdf }) => backend.unhide(addressOf(sbdf)),
  reset: async ({ function: sbdf }) => backend.reset(addressOf(sbdf)),
});

function addressOf(given: unknown): Sbdf {
  const sbdf = typeof given === 'string' ? parseSbdf(given) : undefined;
  if (sbdf !== undefined) return sbdf;
  throw new PcibackError(
    'BAD-SPEC',
    `${JSON.stringify(given)} is no address of a function`,
    'write it like 0000:03:00.0',
  );
}
