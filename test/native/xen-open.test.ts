/** How the connection to Xen is refused when its devices or its libraries are not as they should be. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Call, closed, FakeXen, opened, release } from './xen/scenes.ts';

let xen: FakeXen;
beforeAll(() => {
  xen = new FakeXen();
}, 60_000);
afterAll(() => xen[Symbol.dispose]());

describe('a connection that cannot be opened', () => {
  const devices: readonly [string, string, readonly string[]][] = [
    ['xengnttab_open', '/dev/xen/gntdev', []],
    ['xenevtchn_open', '/dev/xen/evtchn', ['xengnttab_close']],
    ['xencall_open', '/dev/xen/privcmd', ['xengnttab_close']],
    ['xc_interface_open', '/dev/xen/privcmd', ['xencall_close, 0 buffers left', 'xengnttab_close']],
  ];

  test.each([
    ['ENOENT', -2, 'NO-XEN', 'xen-gntdev, xen-evtchn and xen-privcmd'],
    ['ENODEV', -19, 'NO-XEN', 'xen-gntdev, xen-evtchn and xen-privcmd'],
    ['EACCES', -13, 'NO-PERMISSION', 'root in domain 0'],
    ['EPERM', -1, 'NO-PERMISSION', 'root in domain 0'],
  ])('for %s', async (code, errno, refused, remedy) => {
    const played = await xen.play(devices.map(([name]) => ({ script: `${name}=${errno}` })));
    for (const [index, [name, device, left]] of devices.entries()) {
      const { outcome, journal = [] } = played[index] ?? {};
      expect(outcome).toMatchObject({ refused, remedy: expect.stringContaining(remedy) });
      expect(outcome).toMatchObject({ message: expect.stringMatching(new RegExp(`${code}: .*${device}$`)) });
      expect(journal.slice(journal.indexOf(name) + 1)).toEqual(left);
    }
  });

  test('because the domain or the library has no say', async () => {
    const [unprivileged, foreign] = await xen.play([
      { script: 'xc_domain_getinfolist=-1' },
      { script: 'xc_domain_getinfolist=-13' },
    ]);
    expect(unprivileged?.outcome).toMatchObject({ refused: 'NO-PERMISSION' });
    expect(foreign?.outcome).toMatchObject({
      refused: 'NO-XEN',
      message: 'libxenctrl is not of the Xen release that runs',
    });
    expect(unprivileged?.journal).toEqual([...opened, ...closed]);
  });
});

describe('libraries', () => {
  const soname = `libxenctrl.so.${release.major}.${release.minor}`;
  const { major, minor } = release;

  test('no hypervisor, or an old one', async () => {
    const [none, old] = await xen.play([{ root: xen.in('lib') }, { root: xen.run(4, 11, 'old') }]);
    const path = `${xen.in('lib')}/sys/hypervisor/version/major`;
    expect(none?.outcome).toMatchObject({ refused: 'NO-XEN', message: expect.stringContaining(path) });
    expect(old?.outcome).toMatchObject({
      refused: 'NO-XEN',
      message: expect.stringContaining('Xen before 4.12'),
    });
  });

  test.each(['libxengnttab', 'libxenevtchn', 'libxencall'])('%s does not load', async (name) => {
    const set = `without-${name}`;
    xen.copyLibraries(set);
    writeFileSync(xen.in(`${set}/${name}.so.1`), 'no library');
    const [scene] = await xen.play([{}], set);
    expect(scene?.outcome).toMatchObject({
      refused: 'NO-XEN',
      message: expect.stringContaining(`${name}.so.1`),
      remedy: expect.stringContaining('libxengnttab1'),
    });
    expect(scene?.journal).toEqual([]);
  });

  test('a library lacks a function', async () => {
    xen.copyLibraries('lacking');
    writeFileSync(xen.in('empty.c'), '');
    xen.compile(xen.in('empty.c'), 'lacking/libxencall.so.1');
    const [scene] = await xen.play([{}], 'lacking');
    const message = 'a library of Xen cannot be loaded: libxencall.so.1: has no function xencall_open';
    expect(scene?.outcome).toMatchObject({ refused: 'NO-XEN', message });
  });

  test('that of another release is not taken instead', async () => {
    xen.copyLibraries('other');
    renameSync(xen.in(`other/${soname}`), xen.in(`other/libxenctrl.so.${major}.${minor - 1}`));
    const [scene] = await xen.play([{}], 'other');
    expect(scene?.outcome).toMatchObject({ refused: 'NO-XEN', message: expect.stringContaining(soname) });
    const directories = ['usr/lib/xen-4.98/lib/', 'usr/lib/x86_64-linux-gnu', 'usr/lib64', 'usr/local/lib'];
    if (process.arch !== 'x64') directories[1] = 'usr/lib/aarch64-linux-gnu';
    for (const directory of directories)
      expect(scene?.outcome).toMatchObject({
        message: expect.stringContaining(`${xen.in('root')}/${directory}`),
      });
  });

  test.each(['usr/lib/xen-4.98/lib', 'usr/lib64', 'usr/local/lib'])(
    'it is found in %s',
    async (directory) => {
      const name = directory.replaceAll('/', '-');
      xen.copyLibraries(name);
      const root = xen.run(major, minor, `root-${name}`);
      mkdirSync(`${root}/${directory}`, { recursive: true });
      renameSync(xen.in(`${name}/${soname}`), `${root}/${directory}/${soname}`);
      const [scene] = await xen.play([{ root, calls: [['hasIommu']] }], name);
      expect(scene).toEqual({
        outcome: { results: [false] },
        journal: [...opened, 'xc_physinfo', ...closed],
      });
    },
  );

  test('one that knows 8 bits of an interrupt is given no more', async () => {
    xen.copyLibraries('narrow');
    renameSync(xen.in(`narrow/${soname}`), xen.in('narrow/libxenctrl.so.4.15'));
    const root = xen.run(4, 15, 'root-narrow');
    const permissions: Call[] = [
      ['irqPermission', 5, 256, true],
      ['irqPermission', 5, 255, true],
    ];
    const [scene] = await xen.play([{ root, calls: permissions }], 'narrow');
    expect(scene).toEqual({
      outcome: { results: [-34, 0] },
      journal: [...opened, 'xc_domain_irq_permission 5 255 1', ...closed],
    });
  });
});
