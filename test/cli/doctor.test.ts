import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../src/doctor/index.ts';
import { Host } from './host.ts';
import { makeDirectory, makeTree, run } from './run.ts';

const stages = ['platform', 'iommu', 'isolation', 'binding', 'guest'];

const parse = (stdout: string): Diagnosis => JSON.parse(stdout) as Diagnosis;
const checkOf = ({ stages: all }: Diagnosis, id: string) =>
  all.flatMap(({ checks }) => checks).find((check) => check.id === id);

const tree = (): Promise<string> =>
  makeTree({
    '0000:00:1c.0': { ids: [0x8086, 0x8c10], classCode: 0x060400, bridgeTo: 3 },
    '0000:03:00.0': { ids: [0x8086, 0x10d3], classCode: 0x020000 },
    '0000:03:00.1': { ids: [0x8086, 0x10d3], classCode: 0x020000 },
  });

async function configFile(text: string): Promise<string> {
  const file = join(await makeDirectory(), 'web.cfg');
  await writeFile(file, text);
  return file;
}

describe.skipIf(existsSync('/dev/xen'))('doctor on a machine without Xen', () => {
  it('goes through the stages in order and says what it can', async () => {
    const { code, stdout, stderr } = await run(['doctor']);
    expect(code).toBe(3);
    expect(stdout.match(/^\d\. .*$/gm)).toEqual([
      '1. Platform and devices',
      '2. IOMMU',
      '3. Isolation',
      '4. Binding and reset',
      '5. Guest settings',
    ]);
    expect(stdout).toMatch(/^ {2}fail {2}xen +no Xen under Linux .*\n +why: .*\n +do: /m);
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^\d+ checks: \d+ passed, /);
    expect(stderr).toMatch(/^pciback: NO-XEN: .*\n$/);
  });

  it('tells programs the same', async () => {
    const { code, stdout } = await run(['doctor', '--json']);
    expect(code).toBe(3);
    const diagnosis = parse(stdout);
    expect(diagnosis.ok).toBe(false);
    expect(diagnosis.stages.map(({ stage }) => stage)).toEqual(stages);
    expect(checkOf(diagnosis, 'xen')).toMatchObject({ result: 'fail', reason: 'NO-XEN' });
    for (const { checks } of diagnosis.stages) expect(checks.length).toBeGreaterThan(0);
  });

  it('names what is not there', async () => {
    const { code, stdout } = await run(['doctor', 'ff:1f.7', '--json']);
    expect(code).toBe(3);
    expect(checkOf(parse(stdout), 'functions')).toMatchObject({ result: 'fail', reason: 'NO-SUCH-FUNCTION' });
  });
});

describe('doctor of a captured tree', () => {
  it('judges what the tree tells', async () => {
    const { code, stdout, stderr } = await run(['doctor', '--sysfs', await tree()]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^ {2}skip {2}iommu +a captured tree does not tell$/m);
    expect(stdout).toMatch(/^ {2}warn {2}siblings .*of 2 functions/m);
  });

  it('fails for a function that no guest can have', async () => {
    const { code, stderr } = await run(['doctor', '00:1c.0', '--sysfs', await tree()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^pciback: BRIDGE: 0000:00:1c\.0: a bridge; /);
  });

  it('fails for a guest that cannot have what it lists', async () => {
    const file = await configFile(`type = "pvh"\npci = [ '03:00.0' ]\n`);
    const { code, stdout } = await run(['doctor', '--sysfs', await tree(), '--config', file, '--json']);
    expect(code).toBe(1);
    const diagnosis = parse(stdout);
    expect(diagnosis.functions.map(({ sbdf }) => sbdf)).toEqual(['0000:03:00.0']);
    expect(checkOf(diagnosis, 'type')).toMatchObject({ result: 'fail' });
    expect(checkOf(diagnosis, 'e820')).toMatchObject({ result: 'pass' });
  });

  it('says that it is none', async () => {
    const { code, stdout, stderr } = await run(['doctor', '--sysfs', '/nonexistent']);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/^pciback: BAD-DIRECTORY: /);
  });
});

describe('doctor of a hypervisor in a directory', () => {
  it('asks the daemon, and nothing about hardware', async () => {
    const host = await Host.start();
    const { code, stdout, stderr } = await run(['doctor', '--json'], host.env);
    const diagnosis = parse(stdout);
    expect(checkOf(diagnosis, 'daemon')).toMatchObject({ result: 'pass' });
    expect(checkOf(diagnosis, 'iommu')).toMatchObject({ result: 'skip', what: 'models need none of this' });
    expect(diagnosis.functions.map(({ sbdf }) => sbdf)).not.toContain('0000:00:1c.0');
    const state = checkOf(diagnosis, 'state');
    expect(state?.functions?.find(({ sbdf }) => sbdf === '0000:05:00.0')).toMatchObject({
      result: 'fail',
      why: 'it did not come back',
    });
    // Nobody named the function that is quarantined.
    expect([code, stderr]).toEqual([0, '']);
    const named = await run(['doctor', '05:00.0'], host.env);
    expect(named.code).toBe(1);
    expect(named.stderr).toMatch(/^pciback: QUARANTINED: .*pciback reset 0000:05:00\.0\n$/);
  });

  it('does without a daemon', async () => {
    const directory = await makeDirectory();
    await mkdir(join(directory, 'state'));
    const { code, stdout } = await run(['doctor', '--loopback', directory]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}warn {2}daemon +does not run$/m);
    expect((await run(['doctor', '--loopback', '/nonexistent'])).stderr).toMatch(/^pciback: BAD-DIRECTORY: /);
  });
});
