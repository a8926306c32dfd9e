import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { makeDirectory, run } from './run.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});

const row = '86801000000010000000000200000000';

async function vectors(name: string, ...steps: object[]): Promise<string> {
  const file = join(directory, name);
  const sequence = {
    name: 'identity',
    function: { config: { '000': row }, resources: [], irq: 0 },
    mode: { permissive: false, interruptControl: false },
    steps,
  };
  await writeFile(file, JSON.stringify([sequence]));
  return file;
}

const read = (id: string, result: string): object => ({
  id,
  op: 'read',
  offset: '0x000',
  size: 2,
  err: 0,
  result,
});

it('counts the steps of all files', async () => {
  const files = [
    await vectors('a', read('A1', '0x8086'), read('A2', '0x8086')),
    await vectors('b', read('B1', '0x8086')),
  ];
  const { code, stdout, stderr } = await run(['conform', ...files]);
  expect([code, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual({ passed: 3, failed: 0, failures: [] });
});

it('tells of each failed step what was expected and what happened, and goes on', async () => {
  const file = await vectors('a', read('A1', '0x8087'), read('A2', '0x8086'));
  const { code, stdout, stderr } = await run(['conform', file]);
  expect(code).toBe(1);
  expect(stderr).toBe(
    'pciback: CONFORMANCE-FAILED: 1 of 2 steps came out differently; compare expected and actual in the report\n',
  );
  expect(JSON.parse(stdout)).toMatchObject({
    passed: 1,
    failed: 1,
    failures: [{ id: 'A1', expected: { err: 0, result: '0x8087' }, actual: { err: 0, result: '0x8086' } }],
  });
});

it('says what is wrong with a file that holds no vectors', async () => {
  const file = join(directory, 'x');
  await writeFile(file, '{');
  const { code, stdout, stderr } = await run(['conform', file]);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^pciback: BAD-FILE: .*\n$/);
});
