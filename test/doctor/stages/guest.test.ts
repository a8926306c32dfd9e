import { expect, it } from 'vitest';
import { guestStage } from '../../../src/doctor/stages/guest.ts';
import { describeStage } from '../cases.ts';
import type { Facts } from '../../../src/doctor/facts.ts';
import { sbdf } from '../../host/support/functions.ts';
import { configured, find, host, known, nic, refusal, withGuest } from '../support.ts';

const bare = `type = "pv"\ne820_host = 1\npassthrough = "enabled"\n`;
const listing = `pci = [ '46:00.0' ]\n`;

/** A guest that lists so many functions, each in a slot of its own. */
function withMany(count: number): Facts {
  const addresses = Array.from({ length: count }, (_, bus) => `${(0x50 + bus).toString(16)}:00.0`);
  const listed = addresses.map((address) => `'${address}'`).join(', ');
  const functions = addresses.map((address) => known('8086:10d3', { sbdf: sbdf(address) }));
  return { ...configured(`pci = [ ${listed} ]\n`), functions };
}

describeStage(guestStage, {
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
  slots: [
    [configured(listing), 'pass', /room/],
    [withMany(32), 'pass', /room/],
    [withMany(33), 'fail', /no slot is left.*none of them.*detach/, 'NO-SLOT'],
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
