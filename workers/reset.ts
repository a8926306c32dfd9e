/**
 * Resetting a function, beginning to end: quiesce, reset, wait, restore, verify. A function of which any of that fails may
 * still do what its last guest told it to (XSA-302, XSA-306), and must not be anybody's.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResetOutcome } from '../machines/function.ts';
import { formatSbdf } from '../src/address.ts';
import {
  type ConfigAccess,
  type ConfigFilter,
  type Image,
  type Mismatch,
  type Seized,
  hasPendingTransactions,
  quiesce,
  reapply,
  restoreConfig,
  verifyConfig,
} from '../src/config-space/index.ts';
import { PcibackError } from '../src/errors.ts';
import type { HostFunction } from '../src/host/platform.ts';

/** Milliseconds that requests on their way are given to arrive, and a function to answer again after its reset. */
const pendingPatience = 100;
const returnPatience = 60_000;
const pollInterval = 5;

/** Resets a function that no guest has any more, and leaves it as it was when it was seized. Throws RESET-FAILED. */
export async function resetToHidden(hardware: HostFunction, seized: Seized): Promise<ResetOutcome> {
  return reset(hardware, seized);
}

/**
 * Resets a function for the guest that asked for it: registers that are not the guest's come back as they were seized, those
 * that are as the guest had them, if it still `wants` them by then. Throws RESET-FAILED; reads give all ones until `resetFinished`, which is then never called.
 */
export async function resetForGuest(
  hardware: HostFunction,
  filter: ConfigFilter,
  wants: () => boolean,
): Promise<ResetOutcome> {
  const outcome = await reset(hardware, filter.table.seized);
  if (wants()) {
    restoreVectors(hardware, filter);
    reapply(filter);
    filter.resetFinished();
  }
  return outcome;
}

/**
 * Brings back what a function forgot on its way out of D3hot, but for registers that its guest has written since. Throws RESET-FAILED when
 * the function does not take it; its decoding and bus mastering stay off then.
 */
export function restoreForGuest(hardware: HostFunction, filter: ConfigFilter): void {
  const { record, table } = filter;
  const { config } = table.seized;
  restoreConfig(hardware, config, (offset, size) => record.isOwn(offset, size));
  requireRestored(hardware, config, 'on its way out of D3hot');
  restoreVectors(hardware, filter);
  reapply(filter);
  filter.contextRestored();
}

function restoreVectors(hardware: HostFunction, { record }: ConfigFilter): void {
  if (record.vectors > 0) hardware.restoreVectors();
}

async function reset(hardware: HostFunction, { config, virtualFunction }: Seized): Promise<ResetOutcome> {
  const begin = performance.now();
  quiesce(hardware);
  // Requests that do not end are ended by the reset: it goes on in any case.
  await until(() => !hasPendingTransactions(hardware, config), pendingPatience);
  const [method] = hardware.resetMethods;
  if (method === undefined) {
    throw failed(hardware, 'it has no way to be reset', 'reset it by switching the machine off and on');
  }
  await hardware.reset(method);
  // Until it is ready a function answers nothing, or answers that it is to be asked again (PCIe 4.0, 2.3.1).
  if (!(await until(() => isPresent(hardware, virtualFunction), returnPatience))) {
    throw failed(hardware, `it did not come back from its reset (${method})`, 'switch its slot off and on');
  }
  restoreConfig(hardware, config);
  requireRestored(hardware, config, 'after its reset');
  return { method, milliseconds: Math.round(performance.now() - begin) };
}

/** The IDs of a virtual function read as ones at all times (PCIe 4.0, 9.3.4.1.1); its class does not. */
function isPresent(hardware: ConfigAccess, virtualFunction: boolean): boolean {
  const ids = hardware.read(0x00, 4);
  if (ids === 0xffff_ffff) return virtualFunction && hardware.read(0x08, 4) !== 0xffff_ffff;
  return ids !== 0xffff_0001;
}

async function until(condition: () => boolean, patience: number): Promise<boolean> {
  const end = performance.now() + patience;
  while (!condition()) {
    if (performance.now() > end) return false;
    await sleep(pollInterval);
  }
  return true;
}

function requireRestored(hardware: HostFunction, config: Image, when: string): void {
  const mismatches = verifyConfig(hardware, config);
  if (mismatches.length === 0) return;
  throw failed(hardware, `${when} ${differs(mismatches)}`, 'switch its slot off and on');
}

const differs = (mismatches: readonly Mismatch[]): string =>
  mismatches
    .map(
      ({ name, expected, actual }) => `${name} is 0x${actual.toString(16)}, not 0x${expected.toString(16)}`,
    )
    .join(', ');

const failed = (hardware: HostFunction, what: string, remedy: string): PcibackError =>
  new PcibackError('RESET-FAILED', `${formatSbdf(hardware.sbdf)}: ${what}`, remedy);
