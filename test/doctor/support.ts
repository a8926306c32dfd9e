/** A host on which every check passes, to be made worse one thing at a time. */
import type { Sbdf } from '../../src/address.ts';
import { PcibackError, type Reason } from '../../src/errors.ts';
import type { CheckReport } from '../../src/doctor/index.ts';
import { diagnose } from '../../src/doctor/index.ts';
import type {
  DaemonFacts,
  Facts,
  GuestFile,
  KnownFunction,
  MachineFacts,
  XenFacts,
} from '../../src/doctor/facts.ts';
import { notAnswering, type SilentFunction } from '../../src/host/silent.ts';
import { readGuestFile } from '../../src/doctor/gather/guest-file.ts';
import { captured, sbdf } from '../host/support/functions.ts';

export const known = (ids: string, changes: Partial<KnownFunction> = {}): KnownFunction => ({
  ...captured(ids),
  enabled: true,
  messageVectors: [],
  iommuGroup: null,
  users: [],
  ...changes,
});

/** e1000e at 41:00.0, with INTx, MSI and MSI-X. */
export const nic = known('8086:10d3');
/** A sound card with a port BAR and INTx alone, at 44:02.0. */
export const sound = known('8086:2415');
export const physical = known('8086:10c9');
export const virtual = known('8086:10ca');
export const display = known('10de:1c82');
export const displayAudio = known('10de:fb9');
export const rtl8139 = known('10ec:8139');
export const port = known('1b36:c', { irq: 99 });

export const patched = (fn: KnownFunction, bytes: Readonly<Record<number, number>>): KnownFunction => {
  const config = fn.config.slice();
  for (const [offset, value] of Object.entries(bytes)) config[Number(offset)] = value;
  return { ...fn, config };
};

export const refusal = (reason: Reason): { ok: false; error: PcibackError } => ({
  ok: false,
  error: new PcibackError(reason, `told of ${reason}`, `against ${reason}`),
});

const xen: XenFacts = {
  version: '4.17.7',
  capabilities: ['control_d'],
  guestType: 'PV',
  deviceNodes: ['evtchn', 'gntdev', 'hypercall', 'privcmd', 'xenbus'],
  hasIommu: { ok: true, value: true },
};

const machine: MachineFacts = {
  isRoot: true,
  linux: '6.1.0-50-amd64',
  lockdown: 'none',
  iommuTables: ['RMAD'],
  stubs: ['pci-stub'],
  canLoadStub: false,
  interruptUsers: new Map(),
  xen,
};

const daemon: DaemonFacts = { pid: 4711, state: 'ready', functions: [], guests: [] };

export const connected = {
  domid: 5,
  name: 'web',
  exists: true,
  backendState: 'Connected',
  frontendState: 'Connected',
};

/** A healthy Xen host with `functions`, of which the first is judged. */
export function host(functions: readonly KnownFunction[] = [nic], changes: Partial<Facts> = {}): Facts {
  return {
    scope: 'machine',
    machine,
    functions,
    silent: [],
    unreadable: [],
    subjects: functions.slice(0, 1).map((fn) => fn.sbdf),
    named: true,
    unresolved: [],
    daemon: { ok: true, value: daemon },
    store: { ok: true, value: { claims: new Map(), guests: [connected] } },
    guestFile: null,
    ...changes,
  };
}

export const onMachine = (changes: Partial<MachineFacts>, functions?: readonly KnownFunction[]): Facts =>
  host(functions, { machine: { ...machine, ...changes } });

export const onXen = (changes: Partial<XenFacts>): Facts => onMachine({ xen: { ...xen, ...changes } });

export const withDaemon = (changes: Partial<DaemonFacts>): Facts =>
  host([nic], { daemon: { ok: true, value: { ...daemon, ...changes } } });

export const claimed = (domid: number, exists: boolean): Facts => {
  const claims = new Map<Sbdf, { domid: number; exists: boolean }>([[nic.sbdf, { domid, exists }]]);
  return host([nic], { store: { ok: true, value: { claims, guests: [] } } });
};

export const withGuest = (changes: Partial<typeof connected>): Facts =>
  host([nic], {
    store: { ok: true, value: { claims: new Map(), guests: [{ ...connected, ...changes }] } },
  });

/** A function that sleeps too deeply to answer, where `place` is. */
export const silent = (place: KnownFunction = nic): SilentFunction => ({
  ...place,
  config: null,
  origin: 'host',
  problem: 'does not answer (power state D3cold)',
  refusal: notAnswering(place.sbdf, 'D3cold'),
});

/** With an xl.cfg; what it names is there unless it is told to be `unresolved`. */
export const configured = (text: string, unresolved: GuestFile['unresolved'] = []): Facts =>
  host([physical, known('8086:10c9', { sbdf: sbdf('46:00.1') })], {
    guestFile: readGuestFile('web.cfg', text, () => unresolved),
  });

/** What a check finds; undefined when the question is not asked. */
export const find = (id: string, facts: Facts): CheckReport | undefined =>
  diagnose(facts)
    .stages.flatMap(({ checks }) => checks)
    .find((check) => check.id === id);
