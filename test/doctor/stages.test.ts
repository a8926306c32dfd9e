import { describe, expect, it } from 'vitest';
import { stages } from '../../src/doctor/diagnose.ts';
import type { Result } from '../../src/doctor/index.ts';
import type { Facts } from '../../src/doctor/facts.ts';
import type { Reason } from '../../src/errors.ts';
import { sbdf } from '../host/support/functions.ts';
import {
  claimed,
  configured,
  display,
  displayAudio,
  find,
  host,
  known,
  nic,
  onMachine,
  onXen,
  patched,
  physical,
  port,
  refusal,
  rtl8139,
  sound,
  virtual,
  withDaemon,
  withGuest,
} from './support.ts';

/** A host, what the check says of it, and words that have to be in what, why or remedy; for failures the reason. */
type Case = readonly [facts: Facts, result: Result, says: RegExp, reason?: Reason];

const bare = `type = "pv"\ne820_host = 1\npassthrough = "enabled"\n`;
const listing = `pci = [ '46:00.0' ]\n`;

/** Alone with INTx on line 19. */
const loud = { ...sound, irq: 19 };
const onSameLine = { ...rtl8139, irq: 19 };
const small = (fn: typeof nic, start: bigint): typeof nic => ({
  ...fn,
  resources: [{ index: 0, kind: 'memory32', prefetchable: false, start, size: 0x100n }],
});
/** A root port of the captures leads to bus 41; `acs` begins its extended capabilities. */
const port41 = (type: number, acs = false): typeof nic => {
  const express = 0x54;
  return patched(
    { ...port, sbdf: sbdf('40:01.0') },
    {
      0x06: 0x10,
      0x18: 0x40,
      0x19: 0x41,
      0x1a: 0x43,
      0x34: express,
      [express]: 0x10,
      [express + 1]: 0,
      [express + 2]: (type << 4) | 2,
      0x100: acs ? 0x0d : 0,
      0x101: 0,
      0x102: acs ? 1 : 0,
      0x103: 0,
    },
  );
};
/** Another port of the same device, and what is behind it. */
const port42 = (type: number): typeof nic =>
  patched({ ...port41(type), sbdf: sbdf('40:01.1') }, { 0x19: 0x44, 0x1a: 0x44 });
const behind42 = { ...rtl8139, sbdf: sbdf('44:00.0') };
const toConventional = 7;
const rootPort = 4;

const cases: Readonly<Record<string, readonly Case[]>> = {
  xen: [
    [host(), 'pass', /Xen 4\.17\.7, Linux 6\.1\.0-50-amd64 \(PV\)/],
    [onMachine({ xen: null }), 'fail', /no \/dev\/xen.*pciback demo/, 'NO-XEN'],
  ],
  dom0: [
    [host(), 'pass', /control_d/],
    [onXen({ capabilities: [''] }), 'fail', /guest of Xen/, 'NO-XEN'],
    [onXen({ capabilities: null }), 'warn', /mount -t xenfs/],
    [onMachine({ xen: null }), 'skip', /without Xen/],
  ],
  'dom0-type': [
    [host(), 'pass', /PV/],
    [onXen({ guestType: 'PVH' }), 'warn', /INTx does not reach guests/],
    [onXen({ guestType: null }), 'skip', /4\.13/],
  ],
  privilege: [
    [host(), 'pass', /root/],
    [onMachine({ isRoot: false }), 'fail', /64 bytes/, 'NO-PERMISSION'],
  ],
  'device-nodes': [
    [host(), 'pass', /privcmd evtchn gntdev hypercall/],
    [
      onXen({ deviceNodes: ['privcmd', 'hypercall'] }),
      'fail',
      /modprobe xen-evtchn; modprobe xen-gntdev/,
      'NO-XEN',
    ],
    [onXen({ deviceNodes: ['privcmd', 'evtchn', 'gntdev'] }), 'warn', /4\.18/],
  ],
  libraries: [
    [host(), 'pass', /Xen answers/],
    [onXen({ hasIommu: refusal('NO-PERMISSION') }), 'fail', /against NO-PERMISSION/, 'NO-PERMISSION'],
  ],
  xenstored: [
    [host(), 'pass', /answers/],
    [host([nic], { store: refusal('NO-XENSTORE') }), 'fail', /against NO-XENSTORE/, 'NO-XENSTORE'],
    [host([nic], { scope: 'loopback', machine: null, store: refusal('NO-XENSTORE') }), 'skip', /starts one/],
  ],
  lockdown: [
    [host(), 'pass', /no lockdown/],
    [onMachine({ lockdown: 'integrity' }), 'fail', /Secure Boot/, 'NO-PERMISSION'],
    [onMachine({ lockdown: null }), 'skip', /securityfs/],
  ],
  daemon: [
    [host(), 'pass', /4711/],
    [host([nic], { daemon: { ok: true, value: undefined } }), 'warn', /pciback serve/],
    [withDaemon({ state: 'draining' }), 'warn', /draining/],
    [host([nic], { daemon: refusal('NO-PERMISSION') }), 'fail', /told of NO-PERMISSION/, 'NO-PERMISSION'],
    [onMachine({ xen: null }), 'skip', /without Xen/],
  ],
  functions: [
    [host(), 'pass', /0000:41:00\.0/],
    [host([nic, port], { named: false }), 'pass', /1 of 2 could be exported/],
    [host([port], { named: false, subjects: [] }), 'warn', /pciback list/],
    [
      host([], { unresolved: [refusal('NO-SUCH-FUNCTION').error] }),
      'fail',
      /against NO-SUCH-FUNCTION/,
      'NO-SUCH-FUNCTION',
    ],
    [host([nic], { unreadable: [refusal('BAD-FILE').error] }), 'warn', /told of BAD-FILE/],
  ],
  iommu: [
    [host(), 'pass', /confines/],
    [onXen({ hasIommu: { ok: true, value: false } }), 'fail', /told not to use it.*iommu=1/, 'NO-IOMMU'],
    [onXen({ hasIommu: refusal('NO-XEN') }), 'skip', /cannot be asked/],
  ],
  firmware: [
    [host(), 'pass', /XMAR/],
    [onMachine({ iommuTables: [] }), 'warn', /VT-d/],
  ],
  bridges: [
    [host(), 'pass', /endpoint/],
    [host([port]), 'fail', /--topology passthrough/, 'BRIDGE'],
    [host([patched(nic, { 0x0e: 2 })]), 'fail', /header type 2/, 'HEADER-TYPE'],
  ],
  'shared-intx': [
    [host(), 'pass', /line 16 is its own/],
    [host([virtual]), 'pass', /no INTx/],
    [host([loud, { ...onSameLine, messageVectors: [40] }]), 'pass', /no other uses it/],
    [host([loud, { ...onSameLine, driver: 'pci-stub' }]), 'pass', /no other uses it/],
    [host([{ ...nic, irq: 19 }, onSameLine]), 'warn', /0000:44:01\.0 \(8139cp\).*uses MSI/],
    [host([loud, onSameLine]), 'fail', /nothing but INTx/, 'NOT-ISOLATED'],
    [
      onMachine({ interruptUsers: new Map([[19, ['eth1', 'usb1']]]) }, [loud, onSameLine]),
      'fail',
      /eth1 and usb1 listen on it/,
      'NOT-ISOLATED',
    ],
    [host([{ ...loud, enabled: false }, onSameLine]), 'skip', /until the function is enabled/],
    [host([{ ...loud, messageVectors: [19] }, onSameLine]), 'skip', /without MSI/],
    [host([loud, { ...onSameLine, enabled: false }]), 'pass', /its own/],
  ],
  'shared-pages': [
    [host([small(nic, 0xf000_0000n), small(sound, 0xf000_1000n)]), 'pass', /no page/],
    [
      host([small(nic, 0xf000_0000n), small(sound, 0xf000_0100n)]),
      'fail',
      /BAR 0 of 0000:44:02\.0 in page 0xf0000000.*resource_alignment=0000:41:00\.0/,
      'NOT-ISOLATED',
    ],
  ],
  siblings: [
    [host(), 'pass', /only function/],
    [host([display, displayAudio]), 'warn', /0000:45:00\.1 \(snd_hda_intel\).*0000:45:00\.\*/],
    [host([physical, { ...virtual, sbdf: sbdf('46:00.1') }]), 'pass', /only function/],
  ],
  'shared-bus': [
    [host([nic, port41(rootPort)]), 'pass', /of its own/],
    [
      host([nic, port41(toConventional), { ...rtl8139, sbdf: sbdf('41:01.0') }]),
      'fail',
      /0000:41:01\.0 \(8139cp\).*one device/,
      'NOT-ISOLATED',
    ],
    [
      host([nic, port41(toConventional), { ...rtl8139, sbdf: sbdf('42:01.0'), driver: null }]),
      'warn',
      /same guest/,
    ],
  ],
  acs: [
    [host(), 'pass', /no peer/],
    [host([nic, port41(rootPort, true), port42(rootPort), behind42]), 'pass', /no peer/],
    [host([nic, port41(rootPort), port42(rootPort), behind42]), 'warn', /may reach 0000:44:00\.0 \(8139cp\)/],
    [
      host([nic, { ...port41(rootPort), config: port41(rootPort).config.slice(0, 64) }]),
      'skip',
      /cannot be read/,
    ],
  ],
  'iommu-group': [
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...sound, iommuGroup: '8' },
      ]),
      'pass',
      /alone in group 7/,
    ],
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...sound, iommuGroup: '7' },
      ]),
      'warn',
      /0000:44:02\.0/,
    ],
    [
      host([
        { ...nic, iommuGroup: '7' },
        { ...port, iommuGroup: '7' },
      ]),
      'pass',
      /alone/,
    ],
    [host(), 'skip', /in none/],
  ],
  sriov: [
    [host(), 'pass', /none/],
    [host([virtual, physical]), 'pass', /one itself/],
    [host([physical, virtual]), 'warn', /0000:46:10\.0 \(igbvf\).*sriov_numvfs/],
  ],
  'reserved-memory': [[host(), 'skip', /RMRR/]],
  stub: [
    [onMachine({ stubs: ['pciback', 'pci-stub'] }), 'pass', /takes over/],
    [host(), 'pass', /modprobe xen-pciback/],
    [onMachine({ stubs: [] }), 'fail', /modprobe pci-stub/, 'NO-STUB-DRIVER'],
  ],
  driver: [
    [host(), 'pass', /e1000e, until/],
    [host([{ ...nic, driver: 'pci-stub' }]), 'pass', /holds it for guests/],
    [host([{ ...nic, driver: null }]), 'pass', /no driver/],
  ],
  'in-use': [
    [host(), 'pass', /not using it/],
    [
      host([{ ...nic, users: [{ what: 'eth0', detail: 'has a route', remedy: 'ip link set eth0 down' }] }]),
      'fail',
      /eth0 \(has a route\).*ip link set eth0 down.*--force/,
      'HOST-USES-IT',
    ],
    [host([{ ...nic, users: null }]), 'skip', /not told/],
  ],
  state: [
    [host(), 'pass', /the host has it/],
    [
      withDaemon({ functions: [{ sbdf: '0000:41:00.0', state: 'hidden', owner: null, reason: null }] }),
      'pass',
      /hidden/,
    ],
    [
      withDaemon({
        functions: [{ sbdf: '0000:41:00.0', state: 'quarantined', owner: null, reason: 'no answer' }],
      }),
      'fail',
      /no answer.*pciback reset 0000:41:00\.0/,
      'QUARANTINED',
    ],
    [
      withDaemon({ functions: [{ sbdf: '0000:41:00.0', state: 'connected', owner: 5, reason: null }] }),
      'warn',
      /domain 5 has it.*pciback detach 5 0000:41:00\.0/,
    ],
    [claimed(6, true), 'warn', /domain 6 has it/],
    [claimed(6, false), 'warn', /domain 6, which is gone.*xenstore-rm \/libxl\/pci\/0000-41-00-0\/domid/],
    [
      host([nic], { daemon: { ok: true, value: undefined }, store: refusal('NO-XENSTORE') }),
      'skip',
      /without a daemon/,
    ],
  ],
  reset: [
    [host(), 'pass', /by pm, or bus/],
    [host([sound]), 'warn', /flr: no PCI Express capability/],
  ],
  interrupts: [
    [host(), 'pass', /MSI-X, MSI and INTx on line 16/],
    [host([{ ...sound, irq: 0 }]), 'fail', /line 0, which leads nowhere/, 'NO-INTERRUPT'],
    [host([{ ...sound, irq: 255 }]), 'fail', /line 255/, 'NO-INTERRUPT'],
    [host([{ ...nic, irq: 0 }]), 'warn', /guest uses MSI/],
    [host([patched(sound, { 0x3d: 0 })]), 'warn', /no interrupts/],
    [host([patched({ ...nic, config: nic.config.slice(0, 64) }, { 0x3d: 0 })]), 'skip', /as root/],
  ],
  'memory-decode': [
    [host([patched(nic, { 0x04: 0x06 })]), 'pass', /is on/],
    [host([sound]), 'pass', /no memory BARs/],
    [host([{ ...patched(nic, { 0x04: 0 }), enabled: false }]), 'pass', /until pciback hide/],
    [host([{ ...patched(nic, { 0x04: 0 }), driver: 'pci-stub' }]), 'warn', /pciback unhide 0000:41:00\.0/],
    [host([{ ...virtual, driver: 'pci-stub' }]), 'pass', /physical function/],
  ],
  config: [[host(), 'skip', /e820_host = 1, passthrough = "enabled"/]],
  syntax: [
    [configured(bare), 'pass', /web\.cfg/],
    [configured(`pci = [ '03:00.8' ]\n`), 'fail', /line 1: .*function 8/, 'GUEST-SETTINGS'],
    [
      configured(`\npci = [ '46:00.0,rdm_policy=strict,' ]\npci_permissive = "x"\n`),
      'fail',
      /line 3/,
      'GUEST-SETTINGS',
    ],
  ],
  type: [
    [configured(bare), 'pass', /pv/],
    [configured(''), 'pass', /default/],
    [configured('type = "hvm"\n'), 'fail', /QEMU/, 'GUEST-SETTINGS'],
    [configured('builder = "hvm"\n'), 'fail', /QEMU/, 'GUEST-SETTINGS'],
    [configured('type = "pvh"\n'), 'fail', /neither PV nor HVM/, 'GUEST-SETTINGS'],
  ],
  pci: [
    [configured(listing), 'pass', /46:00\.0/],
    [configured(bare), 'pass', /attached later/],
    [
      configured(listing, [refusal('NO-SUCH-FUNCTION').error]),
      'fail',
      /against NO-SUCH-FUNCTION/,
      'NO-SUCH-FUNCTION',
    ],
  ],
  'whole-slots': [
    [configured(listing), 'pass', /one function/],
    [configured(`pci = [ '46:00.*' ]\n`), 'warn', /attaches only one/],
  ],
  e820: [
    [configured(bare), 'pass', /e820_host = 1/],
    [configured(listing), 'pass', /xl sets/],
    [configured('passthrough = "enabled"\n'), 'fail', /e820_host = 1/, 'GUEST-SETTINGS'],
    [configured(`${listing}e820_host = 0\n`), 'fail', /e820_host = 0/, 'GUEST-SETTINGS'],
  ],
  passthrough: [
    [configured(bare), 'pass', /enabled/],
    [configured('passthrough = "sync_pt"\n'), 'pass', /sync_pt/],
    [configured(listing), 'pass', /xl enables/],
    [configured(''), 'fail', /passthrough = "enabled"/, 'GUEST-SETTINGS'],
    [configured(`${listing}passthrough = "disabled"\n`), 'fail', /"disabled"/, 'GUEST-SETTINGS'],
    [configured('passthrough = "share_pt"\n'), 'fail', /page tables/, 'GUEST-SETTINGS'],
  ],
  memory: [
    [configured('memory = 256\nmaxmem = 256\n'), 'pass', /agree/],
    [configured('memory = 256\nmaxmem = 512\n'), 'warn', /ballooned/],
  ],
  permissive: [
    [configured(listing), 'pass', /no function/],
    [configured(`${listing}pci_permissive = 1\n`), 'warn', /46:00\.0 permissive.*pciback explain/],
  ],
  guests: [
    [host(), 'pass', /1 connected/],
    [withGuest({ frontendState: 'Initialising' }), 'warn', /domain 5 \(web\).*xen-pcifront/],
    [withGuest({ exists: false }), 'warn', /xenstore-rm \/local\/domain\/0\/backend\/pci\/5/],
    [host([nic], { store: refusal('NO-XENSTORE') }), 'skip', /without xenstore/],
    [host([nic], { store: { ok: true, value: { claims: new Map(), guests: [] } } }), 'skip', /no guest/],
  ],
};

describe.each(Object.entries(cases))('%s', (id, all) => {
  it.each(all.map((each, position) => [position, ...each] as const))(
    'case %i',
    (_, facts, result, says, reason) => {
      const found = find(id, facts);
      expect(`${found?.what} | ${found?.why} | ${found?.remedy}`).toMatch(says);
      expect([found?.result, found?.reason]).toEqual([result, reason ?? null]);
    },
  );

  it('says what to do about everything that does not pass', () => {
    for (const [facts] of all) {
      const found = find(id, facts);
      const isBad = found?.result === 'fail' || found?.result === 'warn';
      if (isBad) expect([found.why, found.remedy]).not.toContain('');
    }
  });
});

it('has a case for every check', () => {
  const ids = stages.flatMap(({ checks }) => checks.map(({ id }) => id));
  expect(new Set(ids).size).toBe(ids.length);
  expect(Object.keys(cases).toSorted()).toEqual(ids.toSorted());
});

it('tells a waiting guest for whom it waits', () => {
  const facts = withGuest({ backendState: 'Initialised', frontendState: 'Initialising' });
  const daemon = {
    pid: 1,
    state: 'ready',
    functions: [],
    guests: [{ domid: 5, waitingFor: 'the front-end, to come up' }],
  };
  expect(find('guests', { ...facts, daemon: { ok: true, value: daemon } })?.what).toBe(
    'domain 5 (web): back-end Initialised, front-end Initialising, waits for the front-end, to come up',
  );
});

it('knows a function that lies on its own from a virtual one', () => {
  expect(find('siblings', host([known('8086:10ca'), physical]))?.result).toBe('pass');
});
