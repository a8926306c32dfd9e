/** Commands against a daemon that serves a guest. */
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { parseSbdf } from '../../src/address.ts';
import { ModelFault, openModel } from '../../src/host/index.ts';
import type { Explanation } from '../../src/index.ts';
import { createDomain, destroyDomain } from '../../src/xpci/index.ts';
import { LoopbackHost } from '../foreign/daemon.ts';
import { type MetricFamily, readExposition, valueOf } from '../monitor/exposition.ts';
import { TestGuest } from './front-end.ts';
import { finish, run, start } from './run.ts';

const adapter = '0000:03:00.0';
const storage = '0000:04:00.0';

let host: LoopbackHost;
beforeEach(async () => {
  host = await LoopbackHost.make();
  onTestFinished(() => host[Symbol.asyncDispose]());
});

const env = (): Record<string, string> => ({ PCIBACK_LOOPBACK: host.directory });
const explain = async (sbdf: string): Promise<Explanation> =>
  JSON.parse(await host.pciback('explain', sbdf, '--json')) as Explanation;

async function guestWith(domid: number, ...functions: readonly string[]): Promise<TestGuest> {
  await createDomain(host.directory, domid);
  await host.pciback('attach', String(domid), ...functions);
  return TestGuest.start(host.directory, domid);
}

describe('what a driver in a guest is denied', () => {
  it('is explained, and let through by the quirk that is proposed, as long as the guest has the function', async () => {
    await host.serve(`(${adapter})`);
    const guest = await guestWith(5, adapter);
    const { config } = guest;
    config.write(0x40, 4, 0x0000_0103);
    config.write(0x10, 4, 0x1234_5000);
    expect(config.read(0x40, 4)).toBe(0);

    const before = await explain(adapter);
    expect(before).toMatchObject({
      state: 'connected',
      owner: 5,
      permissive: false,
      quirks: [],
      denials: [
        { offset: 0x10, times: 1, registers: ['BAR 0'] },
        { offset: 0x40, times: 1, registers: ['Other registers'] },
      ],
      proposals: [`${adapter}-40:2:00000103`],
    });
    const words = await host.pciback('explain', adapter);
    expect(words.slice(words.indexOf('\nWrites'))).toBe(`
Writes that domain 5 was denied:

DWORD  TIMES  REGISTERS
0x010  1      BAR 0
0x040  1      Other registers

To let those through that touched no register with a rule, for this guest:

  pciback quirk ${adapter}-40:2:00000103
`);

    expect(await host.pciback('quirk', ...before.proposals)).toBe(`${adapter}-40:2:00000103 applied\n`);
    config.write(0x40, 4, 0xffff_ffff);
    expect(config.read(0x40, 4)).toBe(0x0103);
    expect((await explain(adapter)).quirks).toEqual(before.proposals);

    // The next daemon goes on with it; a front-end sends no request again, so nothing is under way meanwhile.
    await host.stop('SIGKILL');
    await host.serve('');
    config.write(0x40, 4, 0);
    expect(config.read(0x40, 4)).toBe(0);
    config.write(0x40, 4, 0x0103);
    expect(config.read(0x40, 4)).toBe(0x0103);

    await host.pciback('quirk', `${adapter}-40:2:0`);
    config.write(0x40, 4, 0);
    expect(config.read(0x40, 4)).toBe(0x0103);
    await host.pciback('quirk', ...before.proposals);

    await host.pciback('detach', '5', adapter);
    expect(await explain(adapter)).toMatchObject({ state: 'hidden', owner: null, quirks: [] });
  });

  it('stays denied when it is given back and handed to another guest, and is not its fault', async () => {
    await host.serve(`(${adapter})`);
    const first = await guestWith(5, adapter);
    first.config.write(0x44, 1, 1);
    await host.pciback('quirk', `${adapter}-44:1:1`);
    await host.pciback('detach', '5', adapter);
    expect((await explain(adapter)).denials).toMatchObject([{ offset: 0x44 }]);
    expect(await host.pciback('explain', adapter)).toContain('Writes that the last guest was denied:');

    const second = await guestWith(6, adapter);
    expect((await explain(adapter)).denials).toEqual([]);
    second.config.write(0x44, 1, 1);
    expect(second.config.read(0x44, 1)).toBe(0);
    expect((await explain(adapter)).denials).toMatchObject([{ offset: 0x44, times: 1 }]);
  });

  it('cannot be had where a rule speaks against it, nor of a function that is not hidden', async () => {
    await host.serve(`(${adapter})`);
    const refused = await run(['quirk', `${adapter}-10:4:ffffffff`], env());
    expect([refused.code, refused.stdout]).toEqual([2, '']);
    expect(refused.stderr).toMatch(/^pciback: BAD-SPEC: .*BAR 0 at 0x10 has a rule of its own/);
    const { code, stderr } = await run(['quirk', `${storage}-80:1:1`], env());
    expect(code).toBe(1);
    expect(stderr).toMatch(/^pciback: NOT-HIDDEN: /);
  });

  it('is told as a change only where it is one', async () => {
    await host.serve(`(${adapter})`);
    const told = (...quirks: string[]): Promise<string> => host.pciback('quirk', ...quirks);
    const changes = (): number => host.reported.filter(({ type }) => type === 'function.quirk').length;

    expect(await told(`${adapter}-40:2:0`)).toBe(`${adapter}-40:2:00000000: no quirk to take back\n`);
    expect(await told(`${adapter}-40:2:3`)).toBe(`${adapter}-40:2:00000003 applied\n`);
    expect(await told(`${adapter}-40:2:3`)).toBe(`${adapter}-40:2:00000003 is applied already\n`);
    expect(await told(`${adapter}-40:1:1`)).toBe(
      `${adapter}-40:1:00000001 applied, in the place of ${adapter}-40:2:00000003\n`,
    );
    expect(JSON.parse(await told('--json', `${adapter}-40:4:0`, `${adapter}-40:4:0`))).toEqual([
      { quirk: `${adapter}-40:4:00000000`, changed: true, replaced: [`${adapter}-40:1:00000001`] },
      { quirk: `${adapter}-40:4:00000000`, changed: false, replaced: [] },
    ]);
    expect(changes()).toBe(3);
  });

  it('may be let through before there is a guest', async () => {
    await host.serve(`(${adapter})`);
    await host.pciback('quirk', `${adapter}-40:1:1`);
    const guest = await guestWith(5, adapter);
    guest.config.write(0x40, 4, 0xff);
    expect(guest.config.read(0x40, 4)).toBe(1);
  });
});

describe('metrics of a daemon', () => {
  type Families = ReadonlyMap<string, MetricFamily>;
  const urlOf = (): string => host.reported.findLast(({ type }) => type === 'metrics.started')?.to ?? '';
  const scrape = async (): Promise<Families> => readExposition(await (await fetch(urlOf())).text());
  const value = (families: Families, name: string, labels?: Record<string, string>): number | undefined =>
    valueOf(families, `xen_pciback_${name}`, labels);

  it('follow a guest from its coming to its going, and never go back', async () => {
    await host.serve(`(${adapter})(${storage})`, '--metrics', '127.0.0.1:0');
    let families = await scrape();
    expect(value(families, 'devices', { state: 'hidden' })).toBe(2);
    expect(value(families, 'ops_total', { cmd: 'conf_read', result: 'success' })).toBe(0);
    expect([...families.values()].flatMap(({ samples }) => samples.map(({ labels }) => labels['domid'])))
      .not //
      .toContain('5');

    const guest = await guestWith(5, adapter, storage);
    guest.config.write(0x10, 4, 0x1234_5000);
    guest.config.write(0x40, 2, 3);
    const [address] = guest.addresses;
    if (address === undefined) throw new Error('no functions');
    expect(guest.bus.enable(address)).not.toBe(0);
    guest.bus.enableMsix(address, 4);
    families = await scrape();
    expect(value(families, 'device_state', { sbdf: adapter, state: 'connected' })).toBe(1);
    expect(value(families, 'config_writes_denied_total', { sbdf: adapter, reg_class: 'bar' })).toBe(1);
    expect(value(families, 'config_writes_denied_total', { sbdf: adapter, reg_class: 'other' })).toBe(1);
    expect(value(families, 'ops_total', { cmd: 'conf_write', result: 'denied' })).toBe(2);
    expect(value(families, 'msi_vectors', { sbdf: adapter, kind: 'msix' })).toBe(4);
    expect(value(families, 'pirqs_mapped', { domid: '5' })).toBe(4);
    expect(value(families, 'handshake_seconds_count', { phase: 'initialised' })).toBe(1);
    const info = families.get('xen_pciback_device_info')?.samples.map(({ labels }) => labels);
    expect(info).toMatchObject([
      { sbdf: adapter, domid: '5', vdev: '0000:00:00.00' },
      { sbdf: storage, domid: '5', vdev: '0000:00:01.00', reset_method: 'pm' },
    ]);
    const reads = value(families, 'ops_total', { cmd: 'conf_read', result: 'success' }) ?? 0;
    expect(reads).toBeGreaterThan(50);

    await destroyDomain(host.directory, 5);
    await host.until(({ type, to }) => type === 'guest.state' && to === 'released');
    families = await scrape();
    expect(value(families, 'devices', { state: 'hidden' })).toBe(2);
    expect(value(families, 'pirqs_mapped', { domid: '5' })).toBe(undefined);
    expect(value(families, 'msi_vectors', { sbdf: adapter, kind: 'msix' })).toBe(undefined);
    expect(value(families, 'ops_total', { cmd: 'conf_read', result: 'success' })).toBe(reads);
    expect(value(families, 'resets_total', { method: 'pm', result: 'completed' })).toBe(1);

    await host.pciback('unhide', adapter);
    families = await scrape();
    expect(JSON.stringify([...families.values()])).not.toContain(adapter);
    expect(value(families, 'ops_total', { cmd: 'conf_write', result: 'denied' })).toBe(2);
  });

  it('do not count again what a daemon that was killed has counted', async () => {
    await host.serve(`(${adapter})`, '--metrics', '127.0.0.1:0');
    const guest = await guestWith(5, adapter);
    await host.stop('SIGKILL');
    await host.serve('', '--metrics', '127.0.0.1:0');
    expect(value(await scrape(), 'ops_total', { cmd: 'conf_read', result: 'success' })).toBe(0);
    guest.config.read(0, 4);
    expect(value(await scrape(), 'ops_total', { cmd: 'conf_read', result: 'success' })).toBe(1);
  });

  it('come with its health', async () => {
    await host.serve('', '--metrics', '127.0.0.1:0');
    const response = await fetch(urlOf().replace('metrics', 'healthz'));
    expect([response.status, await response.text()]).toEqual([200, 'ready\n']);
  });

  it.each([
    [['--metrics', '0.0.0.0:0'], 'metrics are not served at 0.0.0.0, which other machines can reach'],
    [['--metrics', '9110'], "'9110' is no address to listen at"],
    [['--metrics-any-address'], '--metrics-any-address alone serves nothing'],
  ])('are refused: %j', async (options, message) => {
    const { code, stderr } = await run(['serve', ...options], env());
    expect([code, stderr.split(';')[0]]).toEqual([2, `pciback: USAGE: ${message}`]);
    expect(await readdir(host.directory)).toEqual([]);
  });

  it('are served to others when that is meant', async () => {
    await host.serve('', '--metrics', '0.0.0.0:0', '--metrics-any-address');
    expect((await fetch(urlOf())).status).toBe(200);
  });
});

describe('hide, unhide and reset', () => {
  it('move a function from the host to guests and back', async () => {
    await host.serve('');
    expect(await host.pciback('hide', '03:00.0', '04:00.*')).toBe(`${adapter} hidden\n${storage} hidden\n`);
    expect(await host.pciback('hide', 'pci_0000_03_00_0')).toBe(`${adapter} is hidden already\n`);
    expect(JSON.parse(await host.pciback('reset', '04:00.*', '--json'))).toMatchObject([
      { sbdf: storage, method: 'pm', milliseconds: expect.any(Number) as number },
    ]);
    const guest = await guestWith(5, adapter);
    const refused = await run(['unhide', adapter], env());
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^pciback: FUNCTION-IN-USE: 0000:03:00\.0 belongs to domain 5; /);
    expect((await run(['reset', adapter], env())).stderr).toMatch(/^pciback: FUNCTION-IN-USE: /);
    await guest.close();
    expect(JSON.parse(await host.pciback('unhide', storage, '--json'))).toEqual([
      { sbdf: storage, state: 'host' },
    ]);
    const again = await run(['unhide', storage], env());
    expect([again.code, again.stderr.slice(0, 20)]).toEqual([1, 'pciback: NOT-HIDDEN:']);
    expect((await run(['reset', storage], env())).stderr).toMatch(/^pciback: NOT-HIDDEN: /);
  });

  it('let a function out of quarantine when its reset succeeds', async () => {
    await host.serve(`(${storage})`, '--metrics', '127.0.0.1:0');
    const sbdf = parseSbdf(storage);
    if (sbdf === undefined) throw new Error('no address');
    const model = openModel(host.directory, sbdf);
    onTestFinished(() => model.close());
    model.faults = ModelFault.resetFails;
    const failed = await run(['reset', storage], env());
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^pciback: RESET-FAILED: /);
    await createDomain(host.directory, 5);
    const refused = await run(['attach', '5', storage], env());
    expect(refused.stderr).toMatch(
      /^pciback: QUARANTINED: .*; reset it first: pciback reset 0000:04:00\.0\n$/,
    );
    expect(await host.pciback('hide', storage)).toBe(`${storage} is quarantined already\n`);

    model.faults = ModelFault.none;
    expect(await host.pciback('reset', storage)).toMatch(/^0000:04:00\.0 reset by pm in \d+ ms\n$/);
    await host.pciback('attach', '5', storage);
    const { to = '' } = await host.until(({ type }) => type === 'metrics.started');
    const families = readExposition(await (await fetch(to)).text());
    const resets = (result: string) =>
      valueOf(families, 'xen_pciback_resets_total', { method: 'pm', result });
    expect([resets('failed'), resets('completed')]).toEqual([1, 1]);
  });

  it('say how a function would be reset, and why not otherwise', async () => {
    await host.serve(`(${adapter})`);
    expect(await host.pciback('reset', storage, '--dry-run')).toBe(`${storage} would be reset by pm
  METHOD           USABLE  WHY
  pm               yes     loses its state in D3hot
  device_specific  no      the kernel knows no reset that is particular to this device
  acpi             no      the firmware offers none (ACPI _RST)
  flr              no      no function level reset
  af_flr           no      no Advanced Features capability
  bus              no      no bridge is above it
`);
    const [plan] = JSON.parse(await host.pciback('reset', adapter, '--dry-run', '--json')) as {
      method: string;
    }[];
    const [done] = JSON.parse(await host.pciback('reset', adapter, '--json')) as { method: string }[];
    expect(done?.method).toBe(plan?.method);
  });

  it('take names of functions, and nothing else', async () => {
    await host.serve('');
    const { code, stderr } = await run(['hide', '03:00.0,permissive=1'], env());
    expect(code).toBe(2);
    expect(stderr).toMatch(/^pciback: BAD-SPEC: '03:00\.0,permissive=1' has options/);
    expect((await run(['hide', '07:00.0'], env())).stderr).toMatch(/^pciback: NO-SUCH-FUNCTION: /);
  });
});

describe('watch', () => {
  it('prints the events of the daemon from the moment it says so, and ends by Ctrl-C', async () => {
    await host.serve('');
    const child = start(['watch', '--json'], env());
    const ended = once(child, 'close');
    const lines: { type: string; subject?: string; to?: string }[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(JSON.parse(line) as (typeof lines)[0]);
      if (lines.length === 1) await host.pciback('hide', adapter);
      if (lines.length === 2) child.kill('SIGINT');
    }
    expect(lines).toMatchObject([
      { type: 'watch.started', to: host.directory },
      { type: 'function.hidden', subject: adapter, to: 'hidden' },
    ]);
    expect(await ended).toEqual([0, null]);
  });

  it('says it in words, and ends with the daemon', async () => {
    await host.serve('');
    const child = start(['watch'], env());
    const finished = finish(child);
    await once(child.stdout, 'data');
    await host.pciback('hide', adapter);
    await host.pciback('unhide', adapter);
    await host.stop();
    const { code, stdout, stderr } = await finished;
    expect([code, stderr]).toEqual([0, '']);
    const words = stdout.split('\n').map((line) => line.replace(/^\d\d:\d\d:\d\d\.\d\d\d {2}/, ''));
    expect(words.slice(1, 3)).toEqual([
      `function.hidden  ${adapter}  hidden`,
      `function.unhidden  ${adapter}  hidden`,
    ]);
    expect(words.at(-2)).toBe('backend.state  ready -> draining');
  });

  it('says that a daemon has died', async () => {
    await host.serve('');
    const child = start(['watch'], env());
    const finished = finish(child);
    await once(child.stdout, 'data');
    await host.stop('SIGKILL');
    const { code, stderr } = await finished;
    expect([code, stderr.split(':')[1]]).toEqual([1, ' NO-DAEMON']);
  });
});
