import { formatSbdf, readNames } from '../toolstack/grammars.ts';
import { allFunctions, hostInventory, type ResetMethod, resetMethods } from '../host/functions.ts';
import type { ResetOutcome } from '../index.ts';
import { type ControlClient, reportInventory } from '../monitor/index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { namedFunctions, readName } from './named.ts';
import type { Output } from './output.ts';
import { formatTable } from './table.ts';
import { connectIfRunning, findTarget, whileConnected } from './target.ts';

/** A function may take a minute to answer again after a reset (PCI Express Base 4.0, 2.3.1), and there are several methods. */
const patience = 300_000;

interface Plan {
  readonly sbdf: string;
  /** The method that a reset would begin with; null when there is none. */
  readonly method: string | null;
  readonly methods: readonly ResetMethod[];
}

const plan = (sbdf: string, methods: readonly ResetMethod[]): Plan => ({
  sbdf,
  method: methods.find(({ usable }) => usable)?.method ?? null,
  methods,
});

/** What would be done. Without a daemon the host says which methods there are. */
async function plans(
  specs: Parameters<typeof namedFunctions>[0],
  daemon: ControlClient | undefined,
  signal: AbortSignal,
): Promise<readonly Plan[]> {
  if (daemon) {
    const named = namedFunctions(specs, hostFunctions(await askInventory(daemon, signal), new Map()));
    return Promise.all(
      named.map(async (sbdf) =>
        plan(sbdf, await daemon.call<readonly ResetMethod[]>('resetMethods', { function: sbdf }, { signal })),
      ),
    );
  }
  const inventory = hostInventory();
  const named = namedFunctions(specs, hostFunctions(reportInventory(inventory), new Map()));
  const silent = inventory.silent?.find(({ sbdf }) => named.includes(formatSbdf(sbdf)));
  if (silent) throw silent.refusal;
  return inventory.functions
    .filter(({ sbdf }) => named.includes(formatSbdf(sbdf)))
    .map((facts) => plan(formatSbdf(facts.sbdf), resetMethods(facts, allFunctions(inventory))));
}

function show({ sbdf, method, methods }: Plan, output: Output): void {
  output.print(method === null ? `${sbdf} cannot be reset` : `${sbdf} would be reset by ${method}`);
  const rows = methods.map((each) => [each.method, each.usable ? 'yes' : 'no', each.why]);
  const table = formatTable(['METHOD', 'USABLE', 'WHY'], rows, output.width);
  output.print(table.map((line) => `  ${line}`));
}

export const reset = defineCommand({
  operands: 'SPEC',
  arity: [1, 1],
  description: `Resets a function that no guest has: it is quiesced, reset, given back the registers it had when it was hidden, and checked. This is the way out of quarantine, where a function is whose reset has failed. When the reset fails, the function is quarantined, and no guest can have it.

With --dry-run nothing is touched: the methods are listed, and why each can be used or not. Names are written as for hide; 03:00.* resets all functions of a slot, one after the other.`,
  examples: [
    { line: 'pciback reset 03:00.0', does: 'reset a function, out of quarantine if need be' },
    { line: 'pciback reset 03:00.0 --dry-run', does: 'see how it would be reset, and why not otherwise' },
  ],
  options: {
    ...loopbackOption,
    'dry-run': { type: 'boolean', help: 'list the methods and reset nothing' },
  },
  async run({ options, positionals }, { output, signal }) {
    const specs = positionals.map(readName);
    if (options['dry-run']) {
      const daemon = await connectIfRunning(options.loopback);
      try {
        const all = await plans(specs, daemon, signal);
        if (options.json) output.printJson(all);
        else for (const each of all) show(each, output);
      } finally {
        daemon?.close();
      }
      return;
    }
    await whileConnected(findTarget(options.loopback), async ({ daemon, store }) => {
      const host = hostFunctions(await askInventory(daemon, signal), await readNames(store));
      const done = [];
      for (const sbdf of namedFunctions(specs, host)) {
        const outcome = await daemon.call<ResetOutcome>(
          'reset',
          { function: sbdf },
          { timeoutMs: patience, signal },
        );
        done.push({ sbdf, ...outcome });
        const { method, milliseconds } = outcome;
        if (!options.json)
          output.print(`${sbdf} reset${method ? ` by ${method}` : ''} in ${milliseconds} ms`);
      }
      if (options.json) output.printJson(done);
    });
  },
});
