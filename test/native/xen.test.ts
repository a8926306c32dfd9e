/** What the addon asks of Xen's libraries, byte for byte. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Call, closed, FakeXen, opened, type Played } from './xen/scenes.ts';

let xen: FakeXen;
beforeAll(() => {
  xen = new FakeXen();
}, 60_000);
afterAll(() => xen[Symbol.dispose]());

/** Hexadecimal digits as they lie in memory; blanks between the fields. */
const hex = (fields: string): string => fields.replaceAll(' ', '');

const sbdf = 0x0001_021c; // 0001:02:03.4
const map = (fields: string): string => `xencall2 33 13 ${hex(fields)}`;

interface Case {
  readonly call: Call;
  readonly asked: string;
  readonly script?: string;
  readonly result?: unknown;
}

const calls: Record<string, Case> = {
  'an MSI-X vector': {
    call: ['mapMsi', 5, sbdf, 7, 0xfebd_0000n],
    asked: map('0500 0000 03000000 ffffffff ffffffff 02000100 1c000000 07000000 00000000 0000bdfe00000000'),
    script: 'pirq=55',
    result: 55,
  },
  'an MSI-X vector whose table lies above 4 GB': {
    call: ['mapMsi', 32751, 0x0000_ff07, 2047, 0x40_0000_0000n],
    asked: map('ef7f 0000 03000000 ffffffff ffffffff ff000000 07000000 ff070000 00000000 0000000040000000'),
    script: 'pirq=1',
    result: 1,
  },
  'an MSI': {
    call: ['mapMsi', 5, sbdf, -1, 0n],
    asked: map('0500 0000 03000000 ffffffff ffffffff 02000100 1c000000 00000000 00000000 0000000000000000'),
    script: 'pirq=54',
    result: 54,
  },
  'a legacy interrupt': {
    call: ['mapGsi', 5, 23],
    asked: map('0500 0000 01000000 17000000 17000000 00000000 00000000 00000000 00000000 0000000000000000'),
    script: 'pirq=23',
    result: 23,
  },
  'a pirq given back': {
    call: ['unmapPirq', 5, 0x1234],
    asked: `xencall2 33 14 ${hex('0500 0000 34120000')}`,
  },
  'an MSI-X table made known': { call: ['prepareMsix', sbdf], asked: `xencall2 33 30 ${hex('0100 02 1c')}` },
  'an MSI-X table forgotten': { call: ['releaseMsix', sbdf], asked: `xencall2 33 31 ${hex('0100 02 1c')}` },
  'vectors written again': { call: ['restoreMsi', sbdf], asked: `xencall2 33 27 ${hex('0100 02 1c')}` },
  'a function for a guest': { call: ['assignDevice', 5, sbdf], asked: 'xc_assign_device 5 0001021c 1' },
  'a function for nobody': {
    call: ['assignDevice', 32753, sbdf],
    asked: 'xc_assign_device 32753 0001021c 1',
  },
  'a function taken back': { call: ['deassignDevice', 5, sbdf], asked: 'xc_deassign_device 5 0001021c' },
  'a function out of quarantine': {
    call: ['deassignDevice', 32753, sbdf],
    asked: 'xc_deassign_device 32753 0001021c',
  },
  'one page': {
    call: ['memoryPermission', 5, 0xfebd_0000n, 4096n, true],
    asked: 'xc_domain_iomem_permission 5 febd0 1 1',
  },
  'a range that begins and ends inside pages': {
    call: ['memoryPermission', 5, 0xfebd_0fffn, 2n, false],
    asked: 'xc_domain_iomem_permission 5 febd0 2 0',
  },
  'a range above 4 GB': {
    call: ['memoryPermission', 5, 0x40_0000_0000n, 0x1_0000_0000n, true],
    asked: 'xc_domain_iomem_permission 5 4000000 100000 1',
  },
  'the last byte there is': {
    call: ['memoryPermission', 5, 2n ** 64n - 1n, 1n, true],
    asked: 'xc_domain_iomem_permission 5 fffffffffffff 1 1',
  },
  ports: { call: ['portPermission', 5, 0xc000, 32, true], asked: 'xc_domain_ioport_permission 5 c000 20 1' },
  'ports no longer': {
    call: ['portPermission', 5, 0xffff, 1, false],
    asked: 'xc_domain_ioport_permission 5 ffff 1 0',
  },
  'an interrupt': { call: ['irqPermission', 5, 300, true], asked: 'xc_domain_irq_permission 5 300 1' },
  'an interrupt no longer': {
    call: ['irqPermission', 5, 23, false],
    asked: 'xc_domain_irq_permission 5 23 0',
  },
  'a domain stopped': { call: ['pauseDomain', 5, true], asked: 'xc_domain_pause 5' },
  'a domain that goes on': { call: ['pauseDomain', 5, false], asked: 'xc_domain_unpause 5' },
  'the processor time of a domain': {
    call: ['processorSeconds', 7],
    asked: 'xc_domain_getinfolist 7 1',
    script: 'next_domid=7 ran=2999999999',
    result: 2,
  },
  'the processor time of a domain that is absent': {
    call: ['processorSeconds', 7],
    asked: 'xc_domain_getinfolist 7 1',
    script: 'next_domid=8 ran=2999999999',
    result: 0,
  },
  'an IOMMU': { call: ['hasIommu'], asked: 'xc_physinfo', script: 'capabilities=0x4', result: true },
  'no IOMMU': { call: ['hasIommu'], asked: 'xc_physinfo', script: 'capabilities=0xfffffffb', result: false },
};

describe('operations', () => {
  let played: readonly Played[];
  const names = Object.keys(calls);
  beforeAll(async () => {
    const all = Object.values(calls);
    played = await xen.play(all.map(({ call, script = '' }) => ({ script, calls: [call] })));
  }, 60_000);

  test.each(names)('%s', (name) => {
    const { asked, result = 0 } = calls[name] ?? { asked: '' };
    expect(played[names.indexOf(name)]).toEqual({
      outcome: { results: [result] },
      journal: [...opened, asked, ...closed],
    });
  });

  const failing: Record<string, readonly Call[]> = {
    xencall2: [
      ['mapMsi', 5, sbdf, 0, 4096n],
      ['mapGsi', 5, 23],
      ['unmapPirq', 5, 23],
      ['prepareMsix', sbdf],
      ['releaseMsix', sbdf],
      ['restoreMsi', sbdf],
    ],
    xc_assign_device: [['assignDevice', 5, sbdf]],
    xc_deassign_device: [['deassignDevice', 5, sbdf]],
    xc_domain_iomem_permission: [['memoryPermission', 5, 0n, 1n, true]],
    xc_domain_ioport_permission: [['portPermission', 5, 0, 1, true]],
    xc_domain_irq_permission: [['irqPermission', 5, 23, true]],
    xc_domain_pause: [['pauseDomain', 5, true]],
    xc_domain_unpause: [['pauseDomain', 5, false]],
  };

  test('what Xen turns down comes back as its errno, and nothing is tried in its place', async () => {
    const asked = Object.entries(failing).map(([name, of]) => ({ script: `pirq=9 ${name}=-61`, calls: of }));
    for (const [index, { outcome, journal }] of (await xen.play(asked)).entries()) {
      const of = asked[index]?.calls ?? [];
      expect(outcome).toEqual({ results: of.map(() => -61) });
      expect(journal).toHaveLength(opened.length + of.length + closed.length);
    }
  });

  test('no memory for an argument', async () => {
    const [scene] = await xen.play([{ script: 'xencall_alloc_buffer=-11', calls: [['prepareMsix', sbdf]] }]);
    expect(scene).toEqual({ outcome: { results: [-12] }, journal: [...opened, ...closed] });
  });

  test('ranges that are none never reach Xen', async () => {
    const [scene] = await xen.play([
      {
        calls: [
          ['memoryPermission', 5, 4096n, 0n, true],
          ['memoryPermission', 5, 2n ** 64n - 1n, 2n, true],
        ],
      },
    ]);
    expect(scene).toEqual({ outcome: { results: [-22, -22] }, journal: [...opened, ...closed] });
  });

  const wrong: readonly [Call, string][] = [
    [['assignDevice', 32752, sbdf], 'domid must be an integer from 0 to 32751'],
    [['memoryPermission', 32753, 0n, 1n, true], 'domid must be an integer'],
    [['memoryPermission', 5, 0, 1n, true], 'start must be a bigint'],
    [['portPermission', 5, 0x10000, 1, true], 'first must be an integer from 0 to 65535'],
    [['portPermission', 5, 0, 0, true], 'count must be an integer from 1 to 65536'],
    [['irqPermission', 5, 23, 1], 'allow must be true or false'],
    [['pauseDomain', 5, 1], 'pause must be true or false'],
    [['mapGsi', 5, -1], 'interrupt must be an integer from 0'],
  ];

  test('wrong arguments throw', async () => {
    const scenes = await xen.play(wrong.map(([call]) => ({ calls: [call] })));
    for (const [index, { outcome, journal }] of scenes.entries()) {
      expect(outcome).toMatchObject({ refused: expect.stringContaining(wrong[index]?.[1] ?? '') });
      expect(journal).toEqual([...opened, ...closed]);
    }
  });
});

describe('domains', () => {
  const [dying, hvm, shutdown] = [1, 2, 4];
  const states: readonly [string, string][] = [
    ['running', `next_domid=7 flags=${hvm}`],
    ['shutdown', `next_domid=7 flags=${hvm | shutdown}`],
    ['dying', `next_domid=7 flags=${dying | shutdown}`],
    ['absent', 'next_domid=8'],
  ];

  test('are what the list says of them', async () => {
    const asked = states.map(([, script]) => ({ script, calls: [['domainState', 7]] as const }));
    const played = await xen.play(asked);
    expect(played.map(({ outcome }) => outcome)).toEqual(states.map(([state]) => ({ results: [state] })));
    expect(played[0]?.journal).toEqual([...opened, 'xc_domain_getinfolist 7 1', ...closed]);
  });

  test('are told from others of the same id by their handle', async () => {
    const ask = [['domainHandle', 7]] as const;
    const scripts = [
      'next_domid=7 handle=90',
      'next_domid=7 handle=91',
      'next_domid=8',
      'xc_domain_getinfolist=0',
    ];
    const played = await xen.play(scripts.map((script) => ({ script, calls: ask })));
    const handles = ['5a'.repeat(16), '5b'.repeat(16), null, null];
    expect(played.map(({ outcome }) => outcome)).toEqual(handles.map((handle) => ({ results: [handle] })));
    expect(played[0]?.journal).toEqual([...opened, 'xc_domain_getinfolist 7 1', ...closed]);
  });

  test('are absent when the list is empty', async () => {
    const [scene] = await xen.play([{ script: 'xc_domain_getinfolist=0', calls: [['domainState', 7]] }]);
    expect(scene?.outcome).toEqual({ results: ['absent'] });
  });
});

describe('rings', () => {
  test('are one page and one channel with a handle of its own, and leave nothing open', async () => {
    const [scene] = await xen.play([{ script: 'xenevtchn_bind_interdomain=17', calls: [['serve']] }]);
    expect(scene?.outcome).toEqual({ results: [[17, 'request', 'published']] });
    expect(scene?.journal).toEqual([
      ...opened,
      'xengnttab_map_grant_ref 5 8 3',
      'xenevtchn_open',
      'xenevtchn_bind_interdomain 5 9',
      'xenevtchn_pending 17',
      'xenevtchn_notify 17',
      'xenevtchn_unmask 17',
      'xenevtchn_pending 17',
      'xenevtchn_notify 17',
      'xenevtchn_close',
      'xengnttab_unmap 1 flags 0 err fffffffb value abcd',
      ...closed,
    ]);
  });

  test('a page or a port that Xen does not give', async () => {
    const [page, port] = await xen.play([
      { script: 'xengnttab_map_grant_ref=-22', calls: [['serve']] },
      { script: 'xenevtchn_bind_interdomain=-22', calls: [['serve']] },
    ]);
    expect(page?.outcome).toMatchObject({ refused: 'GRANT-FAILED' });
    expect(page?.journal).toEqual([...opened, 'xengnttab_map_grant_ref 5 8 3', ...closed]);
    expect(port?.outcome).toMatchObject({ refused: 'EVENT-CHANNEL-FAILED' });
    expect(port?.journal.slice(opened.length)).toEqual([
      'xengnttab_map_grant_ref 5 8 3',
      'xenevtchn_open',
      'xenevtchn_bind_interdomain 5 9',
      'xenevtchn_close',
      'xengnttab_unmap 1 flags 1 err 0 value 0',
      ...closed,
    ]);
  });
});
