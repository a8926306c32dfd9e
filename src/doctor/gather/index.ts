/** Looks at everything that the checks are about. Nothing is changed, and nothing is waited for without a limit. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Sbdf } from '../../address.ts';
import { PcibackError } from '../../errors.ts';
import { isExportable } from '../../host/inventory.ts';
import type { SilentFunction } from '../../host/silent.ts';
import { type HostFunctions, readNames, resolveSpec } from '../../toolstack/resolve.ts';
import type { PciSpec } from '../../toolstack/spec.ts';
import { bridgeOf } from '../../topology/bridges.ts';
import type { Attempt, DaemonFacts, Facts, KnownFunction, StoreFacts } from '../facts.ts';
import { attempt } from './attempt.ts';
import { gatherFunctions, type KnownFunctions, withUsers } from './functions.ts';
import { readGuestFile } from './guest-file.ts';
import { gatherMachine } from './machine.ts';
import { gatherStore, type Store } from './store.ts';
import { hasIommu } from './xen.ts';

/** What has to be asked rather than read. Each rejects with a PcibackError when there is no answer, and within bounded time. */
export interface Services {
  /** Undefined when no daemon runs. */
  readonly daemon: () => Promise<DaemonFacts | undefined>;
  /** Hands a connection to xenstored to `body` and ends it. */
  readonly withStore: <T>(body: (store: Store) => Promise<T>) => Promise<T>;
  /** Whether Xen has an IOMMU in use; by default Xen is asked. */
  readonly hasIommu?: () => boolean;
}

export interface Models {
  readonly host: HostFunctions;
  /** Those that a guest can be given. */
  readonly exportable: readonly Sbdf[];
}

export interface GatherOptions {
  /** Functions to judge; all that can be exported when there are none, in `guest` neither. */
  readonly specs: readonly PciSpec[];
  /** The text of an xl.cfg. */
  readonly guest?: { readonly file: string; readonly text: string } | undefined;
  /** A captured tree to judge in place of this machine. */
  readonly sysfs?: string | undefined;
  /** The models of a hypervisor in a directory, which are judged in place of this machine. */
  readonly models?: Models | undefined;
  /** Where the files of the system lie; by default at the root. */
  readonly root?: string;
  /** Whether this process is privileged; by default as it is. */
  readonly isRoot?: boolean;
}

/** Throws BAD-DIRECTORY when the captured tree is none. */
export async function gather(options: GatherOptions, services: Services): Promise<Facts> {
  const { models, sysfs, root = '/', isRoot = process.geteuid?.() === 0 } = options;
  const scope = models ? 'loopback' : sysfs === undefined ? 'machine' : 'tree';
  const askXen = (): Promise<Attempt<boolean>> => attempt(() => (services.hasIommu ?? hasIommu)());
  const machine = scope === 'machine' ? await gatherMachine(root, isRoot, askXen) : null;
  const isServed = scope === 'loopback' || (machine !== null && machine.xen !== null);
  const [daemon, asked] = await Promise.all([
    isServed ? attempt(() => services.daemon()) : noDaemon,
    isServed ? attempt(() => services.withStore(gatherNamed)) : null,
  ]);
  const { functions, silent, warnings } = functionsOf(options, root);
  const host = models?.host ?? hostOf(functions, silent, asked?.ok ? asked.value.names : new Map());
  const chosen = choose(options, host, models?.exportable ?? exportable(functions));
  return {
    scope,
    machine,
    functions: machine ? withUsers(functions, chosen.subjects, root) : functions,
    silent,
    unreadable: warnings,
    ...chosen,
    daemon,
    store: asked?.ok ? { ok: true, value: asked.value.facts } : asked,
  };
}

const noDaemon = { ok: true, value: undefined } as const;

/** A machine may have no PCI bus at all. */
function functionsOf({ models, sysfs }: GatherOptions, root: string): KnownFunctions {
  const bus = join(root, 'sys/bus/pci');
  if (sysfs !== undefined) return gatherFunctions(sysfs, 'tree');
  if (models || !existsSync(join(bus, 'devices'))) return { functions: [], silent: [], warnings: [] };
  return gatherFunctions(bus, 'host');
}

/** What is judged: all that is named, by itself or in the configuration of the guest, or else `otherwise`. */
function choose(
  { specs, guest }: GatherOptions,
  host: HostFunctions,
  otherwise: readonly Sbdf[],
): Pick<Facts, 'subjects' | 'named' | 'unresolved' | 'guestFile'> {
  const guestFile = guest
    ? readGuestFile(guest.file, guest.text, (listed) => resolveAll(listed, host).unresolved)
    : null;
  const all = [...specs, ...(guestFile?.specs ?? [])];
  const { found, unresolved } = resolveAll(all, host);
  const named = all.length > 0;
  return { subjects: named ? found : otherwise, named, unresolved, guestFile };
}

const exportable = (functions: readonly KnownFunction[]): readonly Sbdf[] =>
  functions.filter(isExportable).map(({ sbdf }) => sbdf);

async function gatherNamed(store: Store): Promise<{ facts: StoreFacts; names: Map<string, Sbdf> }> {
  return { facts: await gatherStore(store), names: await readNames(store) };
}

const hostOf = (
  functions: readonly KnownFunction[],
  silent: readonly SilentFunction[],
  names: ReadonlyMap<string, Sbdf>,
): HostFunctions => {
  const all = [...functions, ...silent];
  const buses = new Map(all.map(({ sbdf, config }) => [sbdf, bridgeOf(sbdf, config)?.secondaryBus]));
  return {
    functions: [...buses.keys()],
    secondaryBus: (bridge) => buses.get(bridge),
    named: (name) => names.get(name),
  };
};

function resolveAll(
  specs: readonly PciSpec[],
  host: HostFunctions,
): { found: readonly Sbdf[]; unresolved: readonly PcibackError[] } {
  const found = new Set<Sbdf>();
  const unresolved = new Map<string, PcibackError>();
  for (const spec of specs) {
    try {
      for (const { sbdf } of resolveSpec(spec, host)) found.add(sbdf);
    } catch (error) {
      if (!(error instanceof PcibackError)) throw error;
      unresolved.set(error.message, error);
    }
  }
  return { found: [...found], unresolved: [...unresolved.values()] };
}
