/** How much is loaded before a command does something: each file costs time, and on a slow dom0 many seconds of it. */
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { finish, makeDirectory, makeTree, type Running, start } from './run.ts';

interface Coverage {
  readonly result: readonly { readonly url: string }[];
}

/** The files that each thread of a process loaded. V8 reports them when the thread ends. */
const loadedBy = (reports: string, { pid }: Running): readonly (readonly string[])[] =>
  readdirSync(reports)
    .filter((name) => name.startsWith(`coverage-${pid}-`))
    .map((name) => {
      const { result } = JSON.parse(readFileSync(join(reports, name), 'utf8')) as Coverage;
      return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
    });

const notBundled = (files: readonly string[]): readonly string[] =>
  files.filter((file) => !file.includes('/dist/bundle/'));

async function filesOf(...words: readonly string[]): Promise<readonly string[]> {
  const reports = await makeDirectory();
  const command = start(words, { NODE_V8_COVERAGE: reports });
  expect(await finish(command)).toMatchObject({ code: 0 });
  const [files = []] = loadedBy(reports, command);
  expect(files.length).toBeGreaterThan(0);
  return files;
}

test.each([
  ['--version', 10],
  ['--help', 10],
  ['serve --help', 16],
  ['attach --help', 30],
])('pciback %s loads few files, all of them bundled', async (words, most) => {
  const files = await filesOf(...words.split(' '));
  expect(files.length).toBeLessThanOrEqual(most);
  expect(notBundled(files)).toEqual([]);
});

test('pciback list loads few files, all of them bundled', async () => {
  const tree = await makeTree({ '0000:03:00.0': { ids: [0x8086, 0x10d3], classCode: 0x02_0000 } });
  const files = await filesOf('list', '--sysfs', tree);
  expect(files.length).toBeLessThanOrEqual(24);
  expect(notBundled(files)).toEqual([]);
});

test('the daemon and its threads load few files, all of them bundled but for those of the pool', async () => {
  const [reports, directory] = await Promise.all([makeDirectory(), makeDirectory()]);
  const words = ['serve', '--loopback', directory, '--workers', '1'];
  const daemon = start(words, { NODE_V8_COVERAGE: reports });
  const lines = createInterface({ input: daemon.stdout });
  for await (const line of lines) if (line.includes('"backend.ready"')) break;
  daemon.stdout.resume();
  const exited = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  await exited;

  const threads = loadedBy(reports, daemon);
  expect(threads).toHaveLength(2);
  for (const files of threads) {
    expect(files.length).toBeLessThanOrEqual(60);
    expect(notBundled(files).filter((file) => !file.includes('/node_modules/piscina/'))).toEqual([]);
  }
});
