import { className, describe, loadNames, type ResetMethod } from '../host/functions.ts';
import type { BackendStatus, GuestStatus, ServedBy } from '../index.ts';
import type { ControlClient, FunctionReport } from '../monitor/index.ts';
import { PcibackError } from '../errors.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { warn } from './failure.ts';
import { askInventory } from './inventory.ts';
import type { Output } from './output.ts';
import { type Cell, formatTable } from './table.ts';
import { beingReset, servedByKernel } from './status.ts';
import { connectIfRunning, leftHidden } from './target.ts';

/** A function of the host, and what the daemon does with it. */
interface ListedFunction {
  readonly sbdf: string;
  /** Null, as device and class code, of a function that does not answer and of which the kernel does not tell. */
  readonly vendor: string | null;
  readonly device: string | null;
  readonly classCode: string | null;
  readonly className: string;
  /** Vendor and device by name, as far as they are known. */
  readonly name: string;
  readonly driver: string | null;
  /** `host` while nobody has taken it, `silent` when it does not answer, else `hidden` and what else the daemon calls it. */
  readonly state: string;
  /** Since when it is being reset; null when it is not. */
  readonly resettingSince: string | null;
  /** The domain that has it. */
  readonly owner: number | null;
  /** How that domain reaches it. */
  readonly reachedBy: GuestStatus['reachedBy'] | null;
  /** Whose back-end serves that domain. */
  readonly servedBy: ServedBy | null;
  /** Why it is quarantined, or silent. */
  readonly reason: string | null;
  readonly resetMethods: readonly string[];
  readonly origin: FunctionReport['origin'];
}

const hex = (value: number | null, digits: number): string | null =>
  value?.toString(16).padStart(digits, '0') ?? null;

const isKnown = <F extends FunctionReport>(report: F): report is F & { vendor: number; device: number } =>
  report.vendor !== null && report.device !== null;

function merge(
  functions: readonly FunctionReport[],
  status: BackendStatus | undefined,
): readonly ListedFunction[] {
  const names = loadNames(functions.filter(isKnown));
  const known = new Map(status?.functions.map((each) => [each.sbdf, each]));
  const ofKernel = new Map<string, number>();
  for (const { servedBy, domid, functions: theirs } of status?.guests ?? []) {
    if (servedBy === 'kernel') for (const each of theirs) ofKernel.set(each.sbdf, domid);
  }
  return functions.map((report) => {
    const { sbdf, vendor, device, classCode, driver, resetMethods, origin } = report;
    const { problem } = report;
    const {
      state = problem === null ? 'host' : 'silent',
      resettingSince = null,
      owner: its = null,
      reason = null,
      servedBy: by,
    } = known.get(sbdf) ?? {};
    // Those that were never taken from the host a toolstack has given to the guest by itself.
    const owner = its ?? ofKernel.get(sbdf) ?? null;
    const servedBy = by ?? (its === null ? (owner === null ? null : 'kernel') : 'pciback');
    const reachedBy = status?.guests.find(({ domid }) => domid === owner)?.reachedBy ?? null;
    return {
      sbdf,
      vendor: hex(vendor, 4),
      device: hex(device, 4),
      classCode: hex(classCode, 6),
      className: classCode === null ? 'unknown' : className(classCode),
      name: isKnown(report) ? describe(report, names) : 'unknown',
      driver,
      state,
      resettingSince,
      owner,
      reachedBy,
      servedBy,
      reason: reason ?? problem,
      resetMethods,
      origin,
    };
  });
}

/** With the methods by which the daemon would reset them: what it has hidden is not what the host sees. */
const askResetMethods = (
  daemon: ControlClient,
  functions: readonly FunctionReport[],
  signal: AbortSignal,
): Promise<readonly FunctionReport[]> =>
  Promise.all(
    functions.map(async (report) => {
      if (report.problem !== null) return report;
      const params = { function: report.sbdf };
      try {
        const methods = await daemon.call<readonly ResetMethod[]>('resetMethods', params, { signal });
        const usable = methods.filter((each) => each.usable).map(({ method }) => method);
        return { ...report, resetMethods: usable };
      } catch (error) {
        // It may have gone, or fallen silent, since it was listed.
        if (error instanceof PcibackError) return { ...report, resetMethods: [] };
        throw error;
      }
    }),
  );

function stateCell(listed: ListedFunction, output: Output): Cell {
  const { state, owner, servedBy, reachedBy, reason, resettingSince } = listed;
  const reset = beingReset(resettingSince);
  if (reset !== undefined) return owner ? `domain ${owner}, ${reset}` : reset;
  if (owner !== null) {
    const by = servedBy === 'kernel' ? `, ${servedByKernel}` : '';
    const how = reachedBy === 'device model' ? ', device model' : '';
    const text = `domain ${owner}${by}${how}${reason === null ? '' : `, ${reason}`}`;
    return { text, styled: output.style('cyan', text) };
  }
  if (state === 'host') return '-';
  if (state === 'silent') {
    const text = reason ?? state;
    return { text, styled: output.style('red', text) };
  }
  if (state === 'quarantined') return { text: state, styled: output.style('red', state) };
  const text = reason === null ? state : `${state}, ${reason}`;
  return { text, styled: output.style('green', text) };
}

export const list = defineCommand({
  operands: '',
  arity: [0, 0],
  description: `Lists the PCI functions of this host: address, vendor and device id, class, the driver of the host, state, the ways to reset it, and its name. State is - for a function that the host uses, hidden for one that guests can have, domain N for one that guest N has (and that the kernel serves that guest, when it does), quarantined for one whose reset failed; of a function that is being reset it says since when, and of a function that does not answer it says so, with its power state.

With a running daemon the functions are those that it serves, otherwise those under /sys/bus/pci.`,
  examples: [
    { line: 'pciback list', does: 'find the address of a device' },
    {
      line: `pciback list --json | jq '.[] | select(.classCode | startswith("02"))'`,
      does: 'network cards, for a program',
    },
  ],
  options: {
    ...loopbackOption,
    sysfs: { type: 'string', value: 'DIR', help: 'list a captured sysfs tree instead of this host' },
  },
  async run({ options }, { output, signal }) {
    const daemon = options.sysfs === undefined ? await connectIfRunning(options.loopback) : undefined;
    try {
      const status = await daemon?.call<BackendStatus>('status', {}, { signal });
      const inventory = await askInventory(daemon, signal, { sysfs: options.sysfs });
      for (const warning of inventory.warnings) warn(warning);
      const left = daemon || options.sysfs !== undefined ? undefined : leftHidden(options.loopback);
      if (left !== undefined)
        warn(`no daemon serves ${left}, where functions are hidden: what state they are in is not known`);
      const reports = daemon
        ? await askResetMethods(daemon, inventory.functions, signal)
        : inventory.functions;
      const functions = merge(reports, status);
      if (options.json) return output.printJson(functions);
      if (functions.some(({ origin }) => origin === 'capture')) {
        output.print(['This host shows no PCI devices; these are captured ones that come with pciback.', '']);
      }
      const rows = functions.map((each) => [
        each.sbdf,
        `${each.vendor ?? '????'}:${each.device ?? '????'}`,
        each.className,
        each.driver ?? '-',
        stateCell(each, output),
        each.resetMethods.join(',') || '-',
        each.name,
      ]);
      output.print(
        formatTable(['FUNCTION', 'ID', 'CLASS', 'DRIVER', 'STATE', 'RESET', 'NAME'], rows, output.width),
      );
    } finally {
      daemon?.close();
    }
  },
});
