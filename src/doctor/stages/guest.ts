/** Stage 5: is the guest made in a way that it can have functions? */
import { PcibackError } from '../../errors.ts';
import { isBridge } from '../../host/identity.ts';
import { patternMatches } from '../../toolstack/address-text.ts';
import { VpciTopology } from '../../topology/vpci.ts';
import {
  andMore,
  type Check,
  fail,
  type Finding,
  listed,
  missing,
  pass,
  refused,
  skip,
  type Stage,
  warn,
} from '../check.ts';
import type { Facts, GuestFile } from '../facts.ts';

/** What a guest needs when it is made without functions and is to get some later. */
const lines = `write into its xl.cfg: type = "pv", e820_host = 1, passthrough = "enabled"`;

/** A question about an xl.cfg. */
const ofFile = (id: string, question: string, judge: (guest: GuestFile, facts: Facts) => Finding): Check => ({
  id,
  question,
  check: (facts) => (facts.guestFile ? judge(facts.guestFile, facts) : undefined),
});

const noFile: Check = {
  id: 'config',
  question: 'is there a configuration to look at?',
  check: ({ guestFile }) =>
    guestFile
      ? undefined
      : skip('no guest was named', '', `name its configuration with --config FILE; or ${lines}`),
};

const syntax = ofFile('syntax', 'can the file be read as xl reads it?', ({ problems, warnings, file }) => {
  const [first] = problems;
  const [oddity] = warnings;
  if (first) {
    const why = `pciback check ${file} marks every mistake`;
    return fail('GUEST-SETTINGS', `${first.what}${andMore(problems)}`, why, first.remedy);
  }
  if (oddity) return warn(`${oddity.what}${andMore(warnings)}`, 'xl reads it in another way', oddity.remedy);
  return pass(file);
});

const type = ofFile('type', 'is it a PV guest?', ({ setting }) => {
  const said = setting('type') ?? setting('builder') ?? 'pv';
  if (said === 'pv' || said === 'linux') return pass(setting('type') === 'pv' ? 'pv' : 'pv, the default');
  if (said === 'hvm') {
    return fail(
      'GUEST-SETTINGS',
      'an HVM guest',
      'its functions are emulated by QEMU; no PCI front-end looks for a back-end',
      'write type = "pv", with a kernel for it; or leave this guest to xl',
    );
  }
  return fail(
    'GUEST-SETTINGS',
    `type ${JSON.stringify(said)}`,
    'Xen passes nothing through to a guest that is neither PV nor HVM',
    'write type = "pv"',
  );
});

const list = ofFile('pci', 'do its pci = [...] name functions of this host?', ({ specs, unresolved }) => {
  const absent = missing(unresolved, 'xl refuses to make the guest then');
  if (absent) return absent;
  if (specs.length === 0) return pass('it names none: functions can be attached later');
  return pass(listed(specs.map(({ text }) => text)));
});

const wholeSlots = ofFile('whole-slots', 'does it get all of what it lists?', ({ specs }, { functions }) => {
  const several = specs.filter(({ target }) => {
    if (target.kind !== 'address' || target.pattern.fn !== null) return false;
    return functions.filter(({ sbdf }) => patternMatches(target.pattern, sbdf)).length > 1;
  });
  if (several.length === 0) return pass('every entry is one function');
  return warn(
    `${listed(several.map(({ text }) => text))} means several functions`,
    'of these xl attaches only one since Xen 4.13',
    'list each function, or use pciback attach',
  );
});

/** Judged by the bus that the guest will have. What cannot be placed for another reason is told of by other checks. */
const slots = ofFile('slots', 'is there a slot on its bus for each?', ({ specs }, { functions }) => {
  const bus = new VpciTopology();
  for (const { target, vslot } of specs) {
    if (target.kind !== 'address') continue;
    for (const fn of functions.filter(({ sbdf }) => patternMatches(target.pattern, sbdf))) {
      if (isBridge(fn)) continue;
      try {
        bus.place(
          { sbdf: fn.sbdf, bridge: false, virtualFunction: fn.physicalFunction !== null },
          vslot << 3,
        );
      } catch (error) {
        if (!(error instanceof PcibackError)) throw error;
        return refused(error, 'the guest would get none of them: it is promised all that it lists');
      }
    }
  }
  return pass('the bus has room for all of them');
});

/** Guests with functions from the start get it from libxl (libxl__domain_build_info_setdefault). */
const hostMap = ofFile('e820', 'does its memory leave room for BARs?', ({ setting, specs }) => {
  const value = setting('e820_host');
  const isOn = Number(value) === 1;
  if (isOn) return pass('e820_host = 1');
  if (specs.length > 0 && value === undefined) return pass('xl sets e820_host for a guest with pci = [...]');
  return fail(
    'GUEST-SETTINGS',
    value === undefined ? 'e820_host is not set' : `e820_host = ${value}`,
    'without it the memory of the guest can lie where the host has the BARs of functions',
    'write e820_host = 1',
  );
});

const iommuContext = ofFile('passthrough', 'does Xen give it an IOMMU context?', ({ setting, specs }) => {
  const value = setting('passthrough');
  const remedy = 'write passthrough = "enabled"; it cannot be changed while the guest runs';
  if (value === 'enabled' || value === 'sync_pt') return pass(`passthrough = "${value}"`);
  if (value === undefined && specs.length > 0) return pass('xl enables it for a guest with pci = [...]');
  const why = 'functions cannot be assigned to a guest that was made without one';
  if (value === undefined) return fail('GUEST-SETTINGS', 'passthrough is not set', why, remedy);
  if (value === 'share_pt') {
    return fail(
      'GUEST-SETTINGS',
      'passthrough = "share_pt"',
      'a PV guest has no page tables to share',
      remedy,
    );
  }
  return fail('GUEST-SETTINGS', `passthrough = "${value}"`, why, remedy);
});

const memory = ofFile('memory', 'does it have its memory from the start?', ({ setting }) => {
  const [now, most] = [setting('memory'), setting('maxmem')];
  if (typeof now !== 'number' || typeof most !== 'number' || most <= now)
    return pass('memory and maxmem agree');
  return warn(
    `memory = ${now}, maxmem = ${most}`,
    'with the memory map of the host a guest that is ballooned may find no room to grow into',
    'write the same for both, or leave maxmem out',
  );
});

const permissive = ofFile('permissive', 'does it keep to what the filter knows?', ({ specs }) => {
  const open = specs.filter(({ options }) => options.permissive);
  if (open.length === 0) return pass('no function is permissive');
  return warn(
    `${listed(open.map(({ text }) => text))} permissive`,
    'the guest may write every register that no rule speaks of',
    'see pciback explain, which proposes a quirk for just what the driver needs',
  );
});

const running: Check = {
  id: 'guests',
  question: 'do the guests that run wait for something?',
  check: ({ store, daemon, scope }) => {
    if (scope === 'tree' || store === null) return undefined;
    if (!store.ok) return skip('not to be told without xenstore');
    const { guests } = store.value;
    const known = daemon.ok ? (daemon.value?.guests ?? []) : [];
    if (guests.length === 0) return skip('no guest has PCI functions');
    const left = guests.filter(({ exists }) => !exists);
    if (left.length > 0) {
      const names = left.map(({ domid }) => `domain ${domid}`);
      const remedy = `xenstore-rm /local/domain/0/backend/pci/${left[0]?.domid}`;
      return warn(`directories of ${listed(names)}, gone`, 'the toolstack has not cleared up', remedy);
    }
    const waiting = guests.flatMap(({ domid, name, backendState, frontendState }) => {
      if (backendState === 'Connected' && frontendState === 'Connected') return [];
      const whom = known.find((each) => each.domid === domid)?.waitingFor;
      const states = `back-end ${backendState}, front-end ${frontendState}`;
      return [`domain ${domid}${name && ` (${name})`}: ${states}${whom ? `, waits for ${whom}` : ''}`];
    });
    if (waiting.length === 0) return pass(`${guests.length} connected`);
    return warn(
      waiting.slice(0, 8).join('; '),
      'both ends are Connected when nothing is under way; xl waits ten seconds for that',
      'see pciback status, and whether the kernel of the guest has xen-pcifront',
    );
  },
};

export const guestStage: Stage = {
  stage: 'guest',
  title: 'Guest settings',
  checks: [noFile, syntax, type, list, wholeSlots, slots, hostMap, iommuContext, memory, permissive, running],
};
