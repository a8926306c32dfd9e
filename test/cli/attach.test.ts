import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { failureLine } from '../../src/cli/failure.ts';
import { backendPath } from '../../src/xenbus/index.ts';
import { Host } from './host.ts';
import { finish, run, runHere, start } from './run.ts';

const backend = backendPath(5);
let host: Host;
beforeEach(async () => {
  host = await Host.start();
});

const devices = async (): Promise<(string | undefined)[]> => {
  const { store } = host.loopback;
  const count = Number((await store.read(`${backend}/num_devs`)) ?? 0);
  return Promise.all(Array.from({ length: count }, (_, index) => store.read(`${backend}/dev-${index}`)));
};
const attach = (...words: string[]): Promise<string> => runHere(['attach', ...words], host.env);

describe('attach', () => {
  it('says what was attached and where the guest sees it', async () => {
    const [result] = await Promise.all([
      run(['attach', '5', '03:00.0', '04:00.0'], host.env),
      host.backend(5).start(),
    ]);
    expect(result).toEqual({
      code: 0,
      signal: null,
      stdout: [
        '0000:03:00.0 attached to domain 5, which sees it at 0000:00:01.00\n',
        '0000:04:00.0 attached to domain 5, which sees it at 0000:00:02.00\n',
      ].join(''),
      stderr: '',
    });
    expect(await devices()).toEqual(['0000:03:00.0', '0000:04:00.0']);
  });

  it('tells programs the same as JSON', async () => {
    const [result] = await Promise.all([
      run(['attach', '5', '03:00.0', '--json'], host.env),
      host.backend(5).start(),
    ]);
    expect(JSON.parse(result.stdout)).toEqual({
      domid: 5,
      outcome: 'completed',
      functions: [{ sbdf: '0000:03:00.0', vdev: '0000:00:01.00' }],
    });
  });

  it.each([
    ['03:00.*', ['0000:03:00.0', '0000:03:00.1']],
    ['pci_0000_04_00_0', ['0000:04:00.0']],
    ['0000_00_1c.0-00_00.1', ['0000:03:00.1']],
    ['name=nic', ['0000:04:00.0']],
  ])('understands %s', async (spec, expected) => {
    await host.loopback.store.write('/libxl/pci/0000-04-00-0/name', 'nic');
    await Promise.all([attach('5', spec), host.backend(5).start()]);
    expect(await devices()).toEqual(expected);
  });

  it('takes what an xl.cfg lists, with its defaults', async () => {
    const file = join(host.loopback.directory, 'web.cfg');
    await writeFile(
      file,
      `name = 'web'\npci = [ '03:00.0',\n  '04:00.0,permissive=0' ]\npci_permissive = 1\n`,
    );
    await Promise.all([attach('5', '--config', file), host.backend(5).start()]);
    expect(await host.loopback.store.read(`${backend}/opts-0`)).toContain('permissive=1');
    expect(await host.loopback.store.read(`${backend}/opts-1`)).toContain('permissive=0');
  });

  it('has the daemon seize what seize=1 stands with, and nothing else', async () => {
    await Promise.all([attach('5', '06:00.0,seize=1', '03:00.0,seize=1'), host.backend(5).start()]);
    expect(host.asked).toEqual(['0000:06:00.0']);
    expect(await devices()).toEqual(['0000:06:00.0', '0000:03:00.0']);
  });

  it('warns of what it takes but should be written otherwise', async () => {
    const [result] = await Promise.all([
      run(['attach', '5', '03:00.0@5,vslot=6'], host.env),
      host.backend(5).start(),
    ]);
    expect(result.code).toBe(0);
    expect(result.stderr).toBe(
      "pciback: warning: '03:00.0@5,vslot=6': at character 11: vslot is given twice; the last one counts; give it once\n",
    );
  });
});

describe('an attach that cannot be', () => {
  it.each([
    [['7', '03:00.0'], 'NO-SUCH-DOMAIN: there is no domain 7; guests here: 5, 6'],
    [
      ['5', '06:00.0'],
      'NOT-HIDDEN: 0000:06:00.0 has not been taken from its host driver; hide it: pciback hide 0000:06:00.0',
    ],
    [
      ['5', '05:00.0'],
      'QUARANTINED: 0000:05:00.0 is quarantined: it did not come back; reset it first: pciback reset 0000:05:00.0',
    ],
    [
      ['5', '03:00.2'],
      'NO-SUCH-FUNCTION: no function has the address 0000:03:00.2; near it there are 0000:03:00.1, 0000:03:00.0, 0000:04:00.0; pciback list shows all',
    ],
    [
      ['5', '03:00.0', '00:1c.0,seize=1'],
      'BRIDGE: 0000:00:1c.0 is a bridge, and guests have a flat bus of their own; give the guest what is behind it, or serve with --topology passthrough',
    ],
    [['5', '03:00.0', '03:00.*'], 'BAD-SPEC: 0000:03:00.0 is named more than once; name each function once'],
    [
      ['5', '03:00.0', '03:00.0,seize=yes'],
      "BAD-SPEC: '03:00.0,seize=yes': at character 15: 'yes' is no value of seize; xl would take it for off; write seize=1 or seize=0",
    ],
  ])('%j: %s', async (words, line) => {
    const error: unknown = await attach(...words).catch((each: unknown) => each);
    expect(failureLine(error)).toBe(`pciback: ${line}`);
    expect(await host.loopback.store.read('/libxl/pci')).toBeUndefined();
    expect(await devices()).toEqual([]);
  });

  it('changes nothing and seizes nothing when one of several is impossible', async () => {
    await expect(attach('5', '03:00.0', '06:00.0,seize=1', '05:00.0')).rejects.toMatchObject({
      reason: 'QUARANTINED',
    });
    expect(host.asked).toEqual([]);
    expect(await devices()).toEqual([]);
  });

  it('names the guest that has the function', async () => {
    host.functions = [
      { sbdf: '0000:03:00.0', state: 'connected', resettingSince: null, owner: 6, reason: null },
    ];
    host.guests = [
      {
        domid: 6,
        name: 'db',
        servedBy: 'pciback',
        state: 'connected',
        backendState: 'Connected',
        frontendState: 'Connected',
        functions: [],
        reachedBy: 'front-end',
        waitingFor: null,
        waitingSince: null,
      },
    ];
    await expect(attach('5', '03:00.0')).rejects.toMatchObject({
      reason: 'FUNCTION-IN-USE',
      message: '0000:03:00.0 belongs to domain 6 (db)',
      remedy: 'take it back first: pciback detach 6 0000:03:00.0',
    });
  });

  it('says that a domain is about to end', async () => {
    await writeFile(join(host.loopback.directory, 'dom', '5'), 'dying');
    await expect(attach('5', '03:00.0')).rejects.toMatchObject({
      reason: 'NO-SUCH-DOMAIN',
      message: 'domain 5 is ending (dying)',
    });
  });

  it.each([
    [`pci = [ '03:00.0' ]\npci += [ '04:00.9' ]\n`, ':2:17: there is no function 9;'],
    [`pci = '03:00.0'\n`, ':1:7: pci is a list of strings;'],
    [`memory = 512\n`, ' names no PCI device;'],
  ])('points at the mistake in an xl.cfg: %j', async (text, place) => {
    const file = join(host.loopback.directory, 'web.cfg');
    await writeFile(file, text);
    const error: unknown = await attach('5', '--config', file).catch((each: unknown) => each);
    expect(failureLine(error)).toContain(`pciback: BAD-FILE: ${file}${place}`);
  });

  it('says whom it has waited for in vain, and leaves nothing', async () => {
    const { code, stdout, stderr } = await run(
      ['attach', '5', '03:00.0', '--timeout', '0.2', '--json'],
      host.env,
    );
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ domid: 5, outcome: 'timed out', waitingFor: 'back-end' });
    expect(stderr).toMatch(/^pciback: TIMED-OUT: attach to domain 5: waited in vain for the back-end: .*\n$/);
    expect(await devices()).toEqual([]);
    expect(await host.loopback.store.directory('/libxl/pci')).toEqual([]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('is undone by %s, which then ends it', async (signal) => {
    const child = start(['attach', '5', '03:00.0'], host.env);
    await host.loopback.awaitValue(`${backend}/num_devs`, '1');
    child.kill(signal);
    expect(await finish(child)).toMatchObject({ code: null, signal, stdout: '' });
    expect(await devices()).toEqual([]);
    expect(await host.loopback.store.directory('/libxl/pci')).toEqual([]);
  });
});
