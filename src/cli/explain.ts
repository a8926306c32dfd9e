import type { RegisterDescription } from '../config-space/index.ts';
import { describe, hostInventory, loadNames } from '../host/functions.ts';
import type { Explanation } from '../index.ts';
import { type ControlClient, reportInventory } from '../monitor/index.ts';
import { formatSbdf, PcibackError } from '../toolstack/grammars.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { warn } from './failure.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { namedFunctions, readName } from './named.ts';
import type { Output } from './output.ts';
import { formatTable } from './table.ts';
import { connectIfRunning } from './target.ts';

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const offsetOf = (offset: number): string => `0x${hex(offset, 3)}`;

/** The one function that is meant. Throws USAGE when there are several. */
function theOne(functions: readonly string[]): string {
  const [first, second] = functions;
  if (first !== undefined && second === undefined) return first;
  throw new PcibackError('USAGE', 'several functions are named', `name one: ${functions.join(', ')}`);
}

/** The daemon knows what a guest was denied; without one the host shows what a guest could do. */
async function ask(
  text: string,
  daemon: ControlClient | undefined,
  sysfs: string | undefined,
  signal: AbortSignal,
): Promise<Explanation> {
  const spec = readName(text);
  if (daemon) {
    const host = hostFunctions(await askInventory(daemon, signal), new Map());
    return daemon.call<Explanation>(
      'explain',
      { function: theOne(namedFunctions([spec], host)) },
      { signal },
    );
  }
  const inventory = hostInventory({ sysfs });
  const named = theOne(namedFunctions([spec], hostFunctions(reportInventory(inventory), new Map())));
  const facts = inventory.functions.find(({ sbdf }) => formatSbdf(sbdf) === named);
  if (facts) return (await import('../index.ts')).explainFacts(facts);
  const silent = inventory.silent?.find(({ sbdf }) => formatSbdf(sbdf) === named);
  if (silent) throw silent.refusal;
  throw new PcibackError('NO-SUCH-FUNCTION', `${named} is gone`, 'see pciback list');
}

const sources: Readonly<Record<RegisterDescription['reads'], string>> = {
  hardware: 'hardware',
  filter: 'pciback',
  both: 'both',
};

function rowOf({ offset, size, name, reads, writes, reaches, denied }: RegisterDescription): string[] {
  const range =
    size <= 4 ? `${offsetOf(offset)}/${size}` : `${offsetOf(offset)}-${hex(offset + size - 1, 3)}`;
  const bits = size > 4 ? (reaches === 0 ? '-' : 'all') : reaches === 0 ? '-' : hex(reaches, 2 * size);
  return [range, name, sources[reads], bits, denied === 0 ? '-' : String(denied), writes];
}

function headOf({ state, owner, permissive, quirks }: Explanation): readonly string[] {
  if (state === 'host') return ['not hidden: this is what a guest could do if it had it'];
  const whose = owner === null ? 'no guest has it' : `domain ${owner} has it`;
  const mode = permissive
    ? 'permissive: registers without a rule can be written'
    : 'not permissive: writes to registers without a rule are dropped';
  return [`${state}, ${whose}; ${mode}`, ...quirks.map((quirk) => `quirk ${quirk}`)];
}

function showDenials({ owner, denials, proposals }: Explanation, output: Output): void {
  if (denials.length === 0) return;
  output.print(['', `Writes that ${owner === null ? 'the last guest' : `domain ${owner}`} was denied:`, '']);
  const rows = denials.map(({ offset, times, registers }) => [
    offsetOf(offset),
    times === 0xffff ? '65535 or more' : String(times),
    registers.join(', '),
  ]);
  output.print(formatTable(['DWORD', 'TIMES', 'REGISTERS'], rows, output.width));
  if (proposals.length === 0) {
    output.print(['', 'All of these registers have rules of their own, which no quirk opens.']);
    return;
  }
  const whom = owner === null ? 'for the next guest' : 'for this guest';
  output.print(['', `To let those through that touched no register with a rule, ${whom}:`, '']);
  output.print(`  pciback quirk ${proposals.join(' ')}`);
}

function show(explanation: Explanation, output: Output): void {
  const { sbdf, vendor, device, known, registers } = explanation;
  const ids = { vendor, device };
  const name = describe(ids, loadNames([ids]));
  output.print(`${sbdf}  ${hex(vendor, 4)}:${hex(device, 4)}  ${output.style('bold', name)}`);
  for (const line of headOf(explanation)) output.print(line);
  if (known !== null && known <= 64)
    warn('only its first 64 bytes can be read, so its capabilities are unknown; root sees all');
  output.print('');
  const header = ['REGISTER', 'NAME', 'READ FROM', 'CHANGES', 'DENIED', 'WRITES'];
  output.print(formatTable(header, registers.map(rowOf), output.width));
  showDenials(explanation, output);
}

export const explain = defineCommand({
  operands: 'SBDF',
  arity: [1, 1],
  description: `Shows the filter of a function register by register: whether a guest reads the hardware or what pciback shows it in its place, which bits its writes can change in the hardware, what becomes of a write otherwise, and how many were denied so far. What is denied is dropped, and mostly answered with success, as Linux xen-pciback does.

Then come the denied writes, and the quirks that would let them through where no rule speaks against it: no register more, and no bit more, than the guest has asked for. See pciback quirk.

Without a daemon, or for a function that is not hidden, it shows what a guest could do if it had the function.`,
  examples: [
    { line: 'pciback explain 03:00.0', does: 'find out why a driver in a guest is not content' },
    {
      line: `pciback explain 03:00.0 --json | jq -r '.proposals[]'`,
      does: 'only the quirks that it proposes, for a program',
    },
  ],
  options: {
    ...loopbackOption,
    sysfs: { type: 'string', value: 'DIR', help: 'explain a function of a captured sysfs tree' },
  },
  async run({ options, positionals }, { output, signal }) {
    const daemon = options.sysfs === undefined ? await connectIfRunning(options.loopback) : undefined;
    try {
      const explanation = await ask(positionals[0] ?? '', daemon, options.sysfs, signal);
      const { vendor, device } = explanation;
      if (options.json) output.printJson({ ...explanation, vendor: hex(vendor, 4), device: hex(device, 4) });
      else show(explanation, output);
    } finally {
      daemon?.close();
    }
  },
});
