import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory, makeTree, run, start } from './run.ts';

let sysfs: string;
beforeEach(async () => {
  sysfs = await makeTree({
    '0000:00:1c.0': { ids: [0x8086, 0x8c10], classCode: 0x060400, bridgeTo: 3 },
    '0000:03:00.0': { ids: [0x8086, 0x10d3], classCode: 0x020000 },
    '0000:04:00.0': { ids: [0x144d, 0xa808], classCode: 0x010802 },
  });
});

describe('list', () => {
  it('shows the functions of a captured tree', async () => {
    const { code, stdout, stderr } = await run(['list', '--sysfs', sysfs]);
    expect([code, stderr]).toEqual([0, '']);
    const [header, ...rows] = stdout.trimEnd().split('\n');
    expect(header?.split(/ +/)).toEqual(['FUNCTION', 'ID', 'CLASS', 'DRIVER', 'STATE', 'RESET', 'NAME']);
    expect(rows.map((row) => row.split(/ +/).slice(0, 3).join(' '))).toEqual([
      '0000:00:1c.0 8086:8c10 PCI',
      '0000:03:00.0 8086:10d3 Ethernet',
      '0000:04:00.0 144d:a808 Non-volatile',
    ]);
  });

  it('gives programs the same as JSON', async () => {
    const { stdout } = await run(['list', '--sysfs', sysfs, '--json']);
    const functions = JSON.parse(stdout) as unknown[];
    expect(functions).toHaveLength(3);
    expect(functions[1]).toMatchObject({
      sbdf: '0000:03:00.0',
      vendor: '8086',
      device: '10d3',
      classCode: '020000',
      className: 'Ethernet controller',
      driver: null,
      state: 'host',
      owner: null,
      reason: null,
      origin: 'tree',
    });
  });

  it('says of a function that does not answer nothing but that', async () => {
    await writeFile(join(sysfs, '0000:03:00.0', 'config'), Buffer.alloc(256, 0xff));
    await writeFile(join(sysfs, '0000:03:00.0', 'power_state'), 'D3cold\n');
    const { code, stdout, stderr } = await run(['list', '--sysfs', sysfs]);
    expect(code).toBe(0);
    const problem = 'does not answer (power state D3cold)';
    expect(stderr).toBe(`pciback: warning: 0000:03:00.0 ${problem}\n`);
    expect(stdout).toMatch(
      /0000:03:00\.0 +\?{4}:\?{4} +unknown +- +does not answer \(power state D3cold\) +- /,
    );
    const [, silent] = JSON.parse((await run(['list', '--sysfs', sysfs, '--json'])).stdout) as unknown[];
    expect(silent).toMatchObject({ vendor: null, state: 'silent', reason: problem, resetMethods: [] });
  });

  it('works on a machine without Xen and without a daemon', async () => {
    expect(await run(['list'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('warns of functions that a daemon has left hidden', async () => {
    const directory = await makeDirectory();
    await mkdir(join(directory, 'state', 'function'), { recursive: true });
    const options = ['list', '--loopback', directory];
    expect(await run(options)).toMatchObject({ code: 0, stderr: '' });
    await writeFile(join(directory, 'state', 'function', '0000:03:00.0'), '{}');
    const { code, stderr } = await run(options);
    expect(code).toBe(0);
    expect(stderr).toBe(
      `pciback: warning: no daemon serves ${directory}, where functions are hidden: what state they are in is not known\n`,
    );
    expect((await run([...options, '--sysfs', sysfs])).stderr).toBe('');
  });

  it('says what is wrong with a tree that is none', async () => {
    const { code, stderr } = await run(['list', '--sysfs', '/nonexistent']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^pciback: BAD-DIRECTORY: /);
  });

  it('ends quietly when its reader goes away', async () => {
    const child = start(['list', '--sysfs', sysfs]);
    child.stdout.destroy();
    const [stderr] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect([child.exitCode, stderr]).toEqual([0, '']);
  });
});
