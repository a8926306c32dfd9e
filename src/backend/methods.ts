/** What other processes can ask of a running daemon, over its control socket. */
import { type Observable, concat, of } from 'rxjs';
import { type Sbdf, parseSbdf } from '../address.ts';
import { type Quirk, parseQuirk } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import type { Inventory, ResetMethod } from '../host/index.ts';
import {
  type BackendEvent,
  type ControlMethods,
  type ControlStreams,
  makeEvent,
  reportInventory,
} from '../monitor/index.ts';
import type { ResetOutcome } from '../../machines/function.ts';
import { lastDomid, parseDecimal } from '../xenbus/index.ts';
import type { Wanted } from './attachable.ts';
import type { Explanation } from './explain.ts';
import type { HideOutcome, UnhideOutcome } from './host-functions.ts';
import type { BackendStatus } from './status.ts';

interface Force {
  readonly force: boolean;
}

/** What asking for a quirk has come to; quirks in the notation of `pciback quirk`. */
export interface QuirkOutcome {
  readonly quirk: string;
  /** False when the function had it already, or had none to take back. */
  readonly changed: boolean;
  /** Quirks that it has taken the place of, or taken back. */
  readonly replaced: readonly string[];
}

/** The part of the back-end that is offered. */
export interface Operations {
  readonly events$: Observable<BackendEvent>;
  readonly inventory: Inventory;
  status(): BackendStatus;
  hide(sbdf: Sbdf, options: Force): Promise<HideOutcome>;
  unhide(sbdf: Sbdf, options: Force): Promise<UnhideOutcome>;
  reset(sbdf: Sbdf): Promise<ResetOutcome>;
  resetMethods(sbdf: Sbdf): readonly ResetMethod[];
  requireAttachable(domid: number, wanted: readonly Wanted[]): void;
  explain(sbdf: Sbdf): Explanation;
  addQuirk(quirk: Quirk): Promise<QuirkOutcome>;
  handOver(): void;
}

export const daemonMethods = (backend: Operations): ControlMethods => ({
  status: () => backend.status(),
  inventory: () => reportInventory(backend.inventory),
  hide: async ({ function: sbdf, force }) => backend.hide(addressOf(sbdf), { force: force === true }),
  unhide: async ({ function: sbdf, force }) => backend.unhide(addressOf(sbdf), { force: force === true }),
  reset: async ({ function: sbdf }) => backend.reset(addressOf(sbdf)),
  resetMethods: ({ function: sbdf }) => backend.resetMethods(addressOf(sbdf)),
  requireAttachable: ({ domid, functions }) =>
    backend.requireAttachable(domidOf(domid), Array.isArray(functions) ? functions.map(wantedOf) : []),
  explain: ({ function: sbdf }) => backend.explain(addressOf(sbdf)),
  handOver: () => backend.handOver(),
  quirk: async ({ quirk }) => backend.addQuirk(parseQuirk(String(quirk))),
});

/** What they can listen to. */
export const daemonStreams = (backend: Operations): ControlStreams => ({
  // The first event says that all that follow are heard.
  watch: () => concat(of(makeEvent('watch.started', { to: backend.status().directory })), backend.events$),
});

function domidOf(given: unknown): number {
  const domid = parseDecimal(String(given), lastDomid);
  if (domid !== undefined) return domid;
  throw new PcibackError('BAD-DOMID', `${JSON.stringify(given)} is no domain id`, 'write it like 5');
}

function wantedOf(given: unknown): Wanted {
  const { function: sbdf, devfn } = given as { readonly function?: unknown; readonly devfn?: unknown };
  return { sbdf: addressOf(sbdf), devfn: typeof devfn === 'number' ? devfn : 0 };
}

function addressOf(given: unknown): Sbdf {
  const sbdf = typeof given === 'string' ? parseSbdf(given) : undefined;
  if (sbdf !== undefined) return sbdf;
  throw new PcibackError(
    'BAD-SPEC',
    `${JSON.stringify(given)} is no address of a function`,
    'write it like 0000:03:00.0',
  );
}
