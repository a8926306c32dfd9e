/** Stage 1: is this dom0, and is there all that pciback needs to talk to Xen with? */
import { formatSbdf } from '../../address.ts';
import {
  andMore,
  type Check,
  fail,
  listed,
  missing,
  ofMachine,
  ofXen,
  pass,
  refused,
  skip,
  summary,
  type Stage,
  warn,
} from '../check.ts';

const xen = ofMachine('xen', 'does this machine run under Xen?', (machine) => {
  const linux = machine.linux === null ? 'Linux' : `Linux ${machine.linux}`;
  if (machine.xen) {
    const { version, guestType } = machine.xen;
    return pass(`Xen ${version ?? '(of unknown version)'}, ${linux}${guestType ? ` (${guestType})` : ''}`);
  }
  return fail(
    'NO-XEN',
    `no Xen under ${linux}`,
    'there is no /dev/xen; the stages below say what can be told without it',
    'boot Xen with this system as dom0, or try pciback without it: pciback demo',
  );
});

const dom0 = ofXen('dom0', 'is this dom0?', ({ capabilities }) => {
  if (capabilities?.includes('control_d')) return pass('control_d in /proc/xen/capabilities');
  if (capabilities === null) {
    return warn(
      '/proc/xen/capabilities is missing',
      'xenfs is not mounted, and xl needs it too',
      'mount -t xenfs xenfs /proc/xen',
    );
  }
  return fail(
    'NO-XEN',
    'this is a guest of Xen, not dom0',
    'libxl has back-ends of PCI in domain 0 only',
    'run pciback in dom0',
  );
});

const dom0Type = ofXen('dom0-type', 'is it a kind of dom0 that can route interrupts?', ({ guestType }) => {
  if (guestType === 'PV') return pass('PV');
  if (guestType === null) {
    return skip('not told', 'there is no /sys/hypervisor/guest_type before Linux 4.13');
  }
  return warn(
    guestType,
    'only in a PV dom0 is the irq of a function its GSI, so INTx does not reach guests from here',
    'give guests functions with MSI or MSI-X, or boot dom0 as PV (no dom0=pvh on the command line of Xen)',
  );
});

/** What is done with each file in /dev/xen, and the module that makes it (Linux drivers/xen). */
const nodes = [
  { name: 'privcmd', module: 'xen-privcmd', required: true },
  { name: 'evtchn', module: 'xen-evtchn', required: true },
  { name: 'gntdev', module: 'xen-gntdev', required: true },
  { name: 'hypercall', module: 'xen-privcmd', required: false },
] as const;

const deviceNodes = ofXen('device-nodes', 'are the files in /dev/xen there?', ({ deviceNodes: present }) => {
  const absent = nodes.filter(({ name }) => !present.includes(name));
  const files = listed(absent.map(({ name }) => `/dev/xen/${name}`));
  const modules = [...new Set(absent.map(({ module }) => module))];
  if (absent.length === 0) return pass(nodes.map(({ name }) => name).join(' '));
  if (absent.some(({ required }) => required)) {
    const remedy = modules.map((module) => `modprobe ${module}`).join('; ');
    return fail(
      'NO-XEN',
      `${files} missing`,
      'hypercalls, event channels and grants go through them',
      remedy,
    );
  }
  return warn(
    `${files} missing`,
    "kernels before 4.18 have none; Xen's libraries then lock memory for hypercalls instead",
    'nothing has to be done',
  );
});

const libraries = ofXen('libraries', "do Xen's libraries load, and does Xen answer?", ({ hasIommu }) => {
  if (hasIommu.ok) return pass('loaded, and Xen answers');
  return refused(hasIommu.error, 'grants, event channels and hypercalls are reached through them');
});

const xenstored: Check = {
  id: 'xenstored',
  question: 'does xenstored answer?',
  check: ({ scope, machine, store }) => {
    if (store === null) return scope === 'tree' || !machine ? undefined : skip('not to be told without Xen');
    if (store.ok) return pass('answers');
    if (scope === 'loopback') return skip('not there: the daemon starts one');
    return refused(store.error, 'toolstack, back-end and front-end meet in xenstore');
  },
};

const privilege = ofMachine('privilege', 'may pciback do what it has to?', ({ isRoot }) =>
  isRoot
    ? pass('root')
    : fail(
        'NO-PERMISSION',
        'not root',
        'only root sees more than 64 bytes of the registers of a function, binds drivers and calls Xen',
        'run it as root',
      ),
);

const lockdown = ofMachine('lockdown', 'does the kernel let root write registers?', ({ lockdown: level }) => {
  if (level === null) return skip('not told', 'securityfs is not mounted, or the kernel knows no lockdown');
  if (level === 'none') return pass('no lockdown');
  return fail(
    'NO-PERMISSION',
    `the kernel is locked down (${level})`,
    'no process can write configuration space then',
    'boot without Secure Boot, or without lockdown= on the command line of the kernel',
  );
});

const daemon: Check = {
  id: 'daemon',
  question: 'does the pciback daemon run?',
  check: ({ scope, machine, daemon: running }) => {
    if (scope === 'tree') return undefined;
    if (machine && !machine.xen) return skip('not needed without Xen');
    if (!running.ok) return refused(running.error, 'what it does with functions is not known');
    if (running.value === undefined)
      return warn(
        'does not run',
        'nobody serves guests',
        `start it: pciback serve${scope === 'loopback' ? ' --loopback DIR' : ''}`,
      );
    const { pid, state } = running.value;
    if (state === 'ready') return pass(`runs, process ${pid}`);
    return warn(`process ${pid} is ${state}`, 'it serves nobody now', 'see what it prints');
  },
};

const silentWhy = 'nothing can be told from its registers, and no guest can use it';

/** That a function was named says no more than that it has an address: its registers are judged only when it answers. */
const functions: Check = {
  id: 'functions',
  question: 'are the functions there?',
  check: ({ functions: all, silent, subjects, named, unresolved, unreadable, scope }) => {
    const absent = missing(unresolved, 'nothing of this kind is on its PCI bus');
    if (absent) return absent;
    const damaged = unreadable.filter(({ reason }) => reason !== 'NOT-ANSWERING');
    const [bad] = damaged;
    if (bad) return warn(`a function cannot be read${andMore(damaged)}`, bad.message, bad.remedy);
    if (named && silent.some(({ sbdf }) => subjects.includes(sbdf))) {
      const findings = subjects.map((sbdf) => {
        const found = silent.find((each) => each.sbdf === sbdf);
        return {
          sbdf: formatSbdf(sbdf),
          ...(found ? refused(found.refusal, silentWhy) : pass('it answers')),
        };
      });
      return summary(findings, named);
    }
    if (named) return pass(listed(subjects.map(formatSbdf)));
    const of = scope === 'loopback' ? '' : ` of ${all.length + silent.length}`;
    const [quiet] = silent;
    if (quiet) {
      const told = silent.slice(0, 8).map(({ sbdf, problem }) => `${formatSbdf(sbdf)} ${problem}`);
      return warn(
        `${subjects.length}${of} could be exported; ${told.join(', ')}`,
        silentWhy,
        quiet.refusal.remedy,
      );
    }
    if (subjects.length > 0) return pass(`${subjects.length}${of} could be exported; the others are bridges`);
    return warn(
      'none that could be exported',
      'a bridge cannot be given to a guest that has a bus of its own',
      'see pciback list',
    );
  },
};

export const platformStage: Stage = {
  stage: 'platform',
  title: 'Platform and devices',
  checks: [xen, dom0, dom0Type, privilege, deviceNodes, libraries, xenstored, lockdown, daemon, functions],
};
