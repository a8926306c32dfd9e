import type { BackendStatus } from '../index.ts';
import type { ControlClient, InventoryReport } from '../monitor/index.ts';
import {
  attach as attachFunctions,
  formatSbdf,
  formatVdev,
  type FunctionToAttach,
  PcibackError,
  type PciSpec,
  readNames,
  resolveSpec,
  type Sbdf,
} from '../toolstack/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { askInventory, hostFunctions, requireExportable, requireFree } from './inventory.ts';
import { outcomeError, timeoutOf, timeoutOption } from './outcome.ts';
import { readConfigSpecs, readSpec } from './specs.ts';
import { domidOf, findTarget, requireDomain, whileConnected } from './target.ts';

/** Each function once. Throws BAD-SPEC when two specifications mean the same. */
function requireDistinct(functions: readonly FunctionToAttach[]): void {
  const seen = new Set<number>();
  for (const { sbdf } of functions) {
    if (seen.has(sbdf)) {
      throw new PcibackError(
        'BAD-SPEC',
        `${formatSbdf(sbdf)} is named more than once`,
        'name each function once',
      );
    }
    seen.add(sbdf);
  }
}

/** Sees that the daemon can give all of them away. What is to be seized is, once nothing speaks against the others. */
async function prepare(
  daemon: ControlClient,
  inventory: InventoryReport,
  domid: number,
  functions: readonly FunctionToAttach[],
  store: XenstoreClient,
  signal: AbortSignal,
): Promise<void> {
  const status = await daemon.call<BackendStatus>('status', {}, { signal });
  const isHidden = (sbdf: Sbdf): boolean => status.functions.some((each) => each.sbdf === formatSbdf(sbdf));
  const toSeize = functions.filter(({ sbdf, options }) => options.seize && !isHidden(sbdf));
  for (const each of functions) {
    requireExportable(inventory, status, formatSbdf(each.sbdf));
    if (!toSeize.includes(each)) await requireFree(status, formatSbdf(each.sbdf), store);
  }
  const wanted = functions.map(({ sbdf, devfn }) => ({ function: formatSbdf(sbdf), devfn }));
  await daemon.call('requireAttachable', { domid, functions: wanted }, { signal });
  for (const { sbdf } of toSeize) await daemon.call('hide', { function: formatSbdf(sbdf) }, { signal });
}

export const attach = defineCommand({
  operands: 'DOMID SPEC...',
  arity: [1, Number.POSITIVE_INFINITY],
  description: `Gives hidden functions to a guest. A SPEC is written as in the pci = [...] of an xl.cfg: 03:00.0, 03:00.* for all functions of a slot, 03:00.0@5 for slot 5 of the guest, 03:00.0,permissive=1 with options, or name=NAME. Addresses as libvirt, Qubes and xenstore spell them are understood as well.

Before the guest's front-end is up, it is done when the back-end has exported the functions; into a running guest, when both ends have followed the change. All that can be checked is checked first; what comes to nothing is undone, and the claim to the function (/libxl/pci/<address>/domid) given up.`,
  examples: [
    { line: 'pciback attach 5 03:00.0', does: 'give domain 5 the function 03:00.0' },
    { line: 'pciback attach 5 --config /etc/xen/web.cfg', does: 'give it what its xl.cfg lists' },
  ],
  options: {
    ...loopbackOption,
    config: { type: 'string', value: 'FILE', help: 'attach what pci = [...] of this xl.cfg lists' },
    ...timeoutOption,
  },
  async run({ options, positionals }, { output, signal }) {
    const [domainText = '', ...specTexts] = positionals;
    const domid = domidOf(domainText);
    const timeoutMs = timeoutOf(options.timeout);
    const specs: PciSpec[] = specTexts.map(readSpec);
    if (options.config !== undefined) specs.push(...(await readConfigSpecs(options.config)));
    if (specs.length === 0) {
      throw new PcibackError(
        'USAGE',
        'attach needs a function',
        'name one: pciback attach DOMID 03:00.0, or --config FILE',
      );
    }
    const target = findTarget(options.loopback);
    await whileConnected(target, async ({ daemon, store }) => {
      await requireDomain(target, store, domid);
      const inventory = await askInventory(daemon, signal);
      const host = hostFunctions(inventory, await readNames(store));
      const functions = specs.flatMap((spec) => resolveSpec(spec, host));
      requireDistinct(functions);
      await prepare(daemon, inventory, domid, functions, store, signal);
      const result = await attachFunctions(store, domid, functions, {
        timeoutMs,
        signal,
        unseenByKernel: target.kind === 'xen',
      });
      const attached = result.functions.map(({ sbdf, vdev }) => ({
        sbdf: formatSbdf(sbdf),
        vdev: vdev === undefined ? null : formatVdev(vdev),
      }));
      if (options.json) output.printJson({ domid, ...result, functions: attached });
      if (result.outcome !== 'completed') throw outcomeError(result, `attach to domain ${domid}`);
      if (options.json) return;
      for (const { sbdf, vdev } of attached) {
        output.print(
          `${sbdf} attached to domain ${domid}${vdev === null ? '' : `, which sees it at ${vdev}`}`,
        );
      }
    });
  },
});
