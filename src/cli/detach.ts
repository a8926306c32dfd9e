import { setTimeout as delay } from 'node:timers/promises';
import type { BackendStatus } from '../index.ts';
import type { ControlClient } from '../monitor/index.ts';
import {
  detach as detachFunctions,
  formatSbdf,
  type HostFunctions,
  PcibackError,
  type PciSpec,
  readNames,
  resolveSpec,
  type Sbdf,
} from '../toolstack/index.ts';
import { readBackendView } from '../xenbus/index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { outcomeError, timeoutOf, timeoutOption } from './outcome.ts';
import { readSpec } from './specs.ts';
import { domidOf, findTarget, requireDomain, whileConnected } from './target.ts';

/** The functions of the guest that are meant; functions that it does not have when none of its own are. */
function meant(spec: PciSpec, attached: readonly Sbdf[], host: HostFunctions): readonly Sbdf[] {
  const among = (functions: readonly Sbdf[]): readonly Sbdf[] =>
    resolveSpec(spec, { ...host, functions }).map(({ sbdf }) => sbdf);
  try {
    return among(attached);
  } catch (error) {
    if (error instanceof PcibackError && error.reason === 'NO-SUCH-FUNCTION') return among(host.functions);
    throw error;
  }
}

/**
 * Waits until the daemon has reset the functions, so that the next guest can have them when we say that this one has not.
 * A guest that was not asked leaves no directory in which the daemon could say so: it has to be asked.
 */
async function awaitRelease(
  daemon: ControlClient,
  domid: number,
  sbdfs: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const { functions } = await daemon.call<BackendStatus>('status', {}, { signal });
    const held = functions.filter(({ sbdf, owner }) => owner === domid && sbdfs.includes(sbdf));
    if (held.length === 0) return;
    if (performance.now() > end) {
      const names = held.map(({ sbdf }) => sbdf).join(', ');
      throw new PcibackError(
        'TIMED-OUT',
        `${names}: the back-end is still resetting it`,
        'pciback status shows its state',
      );
    }
    await delay(20);
  }
}

export const detach = defineCommand({
  operands: 'DOMID SPEC...',
  arity: [2, Number.POSITIVE_INFINITY],
  description: `Takes functions back from a guest, by address or by name; 03:00.* means all that it has of a slot. A running guest is asked to let go of them first, all in one step; then they are reset and hidden again, for the next guest.

A guest can let the request time out. It then stands, and the same command goes on from there; to end it, end the guest.`,
  examples: [{ line: 'pciback detach 5 03:00.0', does: 'take 03:00.0 back from domain 5' }],
  options: { ...loopbackOption, ...timeoutOption },
  async run({ options, positionals }, { output, signal }) {
    const [domainText = '', ...specTexts] = positionals;
    const domid = domidOf(domainText);
    const timeoutMs = timeoutOf(options.timeout);
    const specs = specTexts.map(readSpec);
    const target = findTarget(options.loopback);
    await whileConnected(target, async ({ daemon, store }) => {
      const { devices = [] } = await readBackendView((path) => store.read(path), domid);
      const attached = devices.flatMap(({ sbdf }) => (sbdf === undefined ? [] : [sbdf]));
      // What a domain has left behind can be taken back after it has gone.
      if (attached.length === 0) await requireDomain(target, store, domid);
      const host = hostFunctions(await askInventory(daemon, signal), await readNames(store));
      const sbdfs = [...new Set(specs.flatMap((spec) => meant(spec, attached, host)))];
      const outcome = await detachFunctions(store, domid, sbdfs, { timeoutMs, signal });
      if (outcome.outcome === 'completed')
        await awaitRelease(daemon, domid, sbdfs.map(formatSbdf), { timeoutMs, signal });
      if (options.json) output.printJson({ domid, ...outcome, functions: sbdfs.map(formatSbdf) });
      if (outcome.outcome !== 'completed') throw outcomeError(outcome, `detach from domain ${domid}`);
      if (options.json) return;
      for (const sbdf of sbdfs) output.print(`${formatSbdf(sbdf)} detached from domain ${domid}`);
    });
  },
});
