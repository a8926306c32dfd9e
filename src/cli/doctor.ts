import {
  type DaemonFacts,
  diagnose,
  type Diagnosis,
  gather,
  type Models,
  type Services,
} from '../doctor/index.ts';
import {
  parseSbdf,
  type PciSpec,
  PcibackError,
  readNames,
  reasons,
  type Sbdf,
} from '../toolstack/grammars.ts';
import { isBridge } from '../host/functions.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { showDiagnosis } from './doctor/show.ts';
import { readText } from './files.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { readName } from './named.ts';
import { connectIfRunning, connectXenstore, findTarget } from './target.ts';

/** The machine answers at once or has something wrong with it; nobody waits longer for a diagnosis. */
const patience = 3000;

function services(loopback: string | undefined, signal: AbortSignal): Services {
  return {
    async daemon() {
      const client = await connectIfRunning(loopback);
      try {
        return await client?.call<DaemonFacts>('status', {}, { timeoutMs: patience, signal });
      } finally {
        client?.close();
      }
    },
    async withStore(body) {
      const store = await connectXenstore(findTarget(loopback), {
        requestTimeoutMs: patience,
        reconnect: false,
      });
      try {
        return await body(store);
      } finally {
        store.close();
      }
    },
  };
}

/** The functions of a hypervisor in a directory. */
async function modelsOf(loopback: string, asking: Services, signal: AbortSignal): Promise<Models> {
  const client = await connectIfRunning(loopback);
  try {
    const names = client ? await asking.withStore(readNames) : new Map<string, Sbdf>();
    const inventory = await askInventory(client, signal);
    const exportable = inventory.functions.filter((each) => !isBridge(each) && each.problem === null);
    return {
      host: hostFunctions(inventory, names),
      exportable: exportable.flatMap(({ sbdf }) => parseSbdf(sbdf) ?? []),
    };
  } finally {
    client?.close();
  }
}

/** What the worst failure would be refused with: what the environment lacks comes before what else is wrong. */
function failureOf({ stages }: Diagnosis): PcibackError | undefined {
  const failures = stages.flatMap(({ checks }) => checks).filter(({ result }) => result === 'fail');
  const lacks = failures.find(({ reason }) => reason !== null && reasons[reason].exitCode === 3);
  const [first] = lacks ? [lacks] : failures;
  if (!first) return undefined;
  const others = failures.length > 1 ? ` (and ${failures.length - 1} more failed)` : '';
  const remedy = first.remedy === '' ? 'see what is said of each function' : first.remedy;
  return new PcibackError(first.reason ?? 'CHECK-FAILED', `${first.what}${others}`, remedy);
}

export const doctor = defineCommand({
  operands: '[SPEC...]',
  arity: [0, Number.POSITIVE_INFINITY],
  description: `Finds out what keeps PCI functions from being passed through, in the order in which one would look for it: the platform and its devices, the IOMMU, isolation, binding and reset, the settings of the guest. Each check passes, fails, is to be looked at (warn), or cannot be made here (skip); under what does not pass stands why, and what to do about it. Nothing is changed.

With functions named, or listed in the configuration of a guest, those are judged; otherwise all that a guest could be given, and a check fails only if none of them passes. Without Xen, and for a tree captured on another machine, it says what can be told. The exit code is 0 when nothing fails, 3 when the environment lacks something (Xen, an IOMMU, permission), otherwise 1.`,
  examples: [
    { line: 'pciback doctor', does: 'can this machine pass anything through?' },
    { line: 'pciback doctor 03:00.0', does: 'why does this function not work?' },
    { line: 'pciback doctor --config /etc/xen/web.cfg', does: 'will this guest get what it lists?' },
  ],
  options: {
    ...loopbackOption,
    sysfs: { type: 'string', value: 'DIR', help: 'judge a captured sysfs tree instead of this host' },
    config: {
      type: 'string',
      value: 'FILE',
      help: 'judge also the settings of this xl.cfg, and what it lists',
    },
  },
  async run({ options, positionals }, { output, signal }) {
    const { sysfs, config } = options;
    const specs: readonly PciSpec[] = positionals.map(readName);
    const text = config === undefined ? '' : await readText(config, 'name the xl.cfg of the guest');
    const loopback = sysfs === undefined ? options.loopback : undefined;
    const asking = services(loopback, signal);
    const models = loopback === undefined ? undefined : await modelsOf(loopback, asking, signal);
    const guest = config === undefined ? undefined : { file: config, text };
    const diagnosis = diagnose(await gather({ specs, guest, sysfs, models }, asking));
    signal.throwIfAborted();
    if (options.json) output.printJson(diagnosis);
    else showDiagnosis(diagnosis, output);
    const failure = failureOf(diagnosis);
    if (failure) throw failure;
  },
});
