/** Commands whose output cannot be written say that in one line, leave nothing behind, and fail; none hangs, and none dies of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LoopbackHost } from '../foreign/daemon.ts';
import { makeDirectory, makeTree } from './run.ts';
import { places, Stage } from './stage.ts';

const program = fileURLToPath(new URL('../../dist/bundle/main.js', import.meta.url));
const { PATH = '' } = process.env;

interface Result {
  readonly code: number | null;
  readonly stderr: string;
}

/** Runs the program with standard output connected to this file. */
async function runInto(file: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Result> {
  const fd = openSync(file, 'w');
  const child = spawn(process.execPath, [program, ...words], {
    env: { PATH, ...env },
    stdio: ['ignore', fd, 'pipe'],
  });
  closeSync(fd);
  onTestFinished(() => void child.kill('SIGKILL'));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const stderr = child.stderr ? await text(child.stderr) : '';
  return { code: (await closed)[0], stderr };
}

/** The number of write(2), by which the kernel says that a thread is in it. */
const write = process.arch === 'x64' ? '1' : '64';

const isWriting = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).some((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').startsWith(`${write} 0x1 `),
  );

/** Waits until a thread of the process is held up by its output. */
const expectWriting = (pid: number): Promise<void> => expect.poll(() => isWriting(pid)).toBe(true);

const told =
  /^pciback: OUTPUT-FAILED: standard output cannot be written: ENOSPC, no space left on device[^\n]*; [^\n]+\n$/;

describe('a device without room', () => {
  it.each([
    '--version',
    '--help',
    'help attach',
    'list',
    'list --json',
    'doctor',
    'conform VECTORS',
    'check FILE',
  ])('makes %s fail', async (line) => {
    const directory = await makeDirectory();
    const sysfs = await makeTree({ '0000:03:00.0': { ids: [0x8086, 0x10d3], classCode: 0x02_0000 } });
    const [file, vectors] = [join(directory, 'guest.cfg'), join(directory, 'vectors.json')];
    await writeFile(file, "pci = [ '03:00.0' ]\n");
    await writeFile(vectors, '[]');
    const words = line.replace('FILE', file).replace('VECTORS', vectors).split(' ');
    const takesTree = ['list', 'doctor'].includes(words[0] ?? '');
    const { code, stderr } = await runInto('/dev/full', [...words, ...(takesTree ? ['--sysfs', sysfs] : [])]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(told)]);
  });

  it('makes commands of a daemon fail, which goes on', async () => {
    await using host = await LoopbackHost.make();
    await host.serve('(03:00.0)');
    const env = { PCIBACK_LOOPBACK: host.directory };
    for (const words of [
      ['status'],
      ['status', '--json'],
      ['explain', '03:00.0'],
      ['watch'],
      ['watch', '--json'],
    ]) {
      const { code, stderr } = await runInto('/dev/full', words, env);
      expect([words, code, stderr]).toEqual([words, 1, expect.stringMatching(told)]);
    }
  });

  it('is told together with what else went wrong', async () => {
    const file = join(await makeDirectory(), 'guest.cfg');
    await writeFile(file, "pci = [ '03:00.8' ]\n");
    const { code, stderr } = await runInto('/dev/full', ['check', file]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(told)]);
    expect(stderr).toContain(
      `the command failed, too: CHECK-FAILED: ${file}, read as xl.cfg, has one mistake`,
    );
  });

  it.each([[['demo']], [['demo', '--json']]])('leaves nothing of %j behind', async (words) => {
    const TMPDIR = await makeDirectory();
    const { code, stderr } = await runInto('/dev/full', words, { TMPDIR });
    expect([code, stderr]).toEqual([1, expect.stringMatching(told)]);
    expect(await readdir(TMPDIR)).toEqual([]);
  });

  it('does not change what a failure ends with', async () => {
    const fd = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [program, 'lsit'], { stdio: ['ignore', 'ignore', fd] });
    closeSync(fd);
    expect(await once(child, 'close')).toEqual([2, null]);
  });
});

describe('a reader that takes nothing', () => {
  it.each(places)('on a %s can be interrupted', async (place) => {
    const stage = await Stage.open(place, [process.execPath, program, 'help', 'serve']);
    await expectWriting(stage.pid);
    expect((await stage.end('SIGINT')).code).toBe(-2);
  });

  it('leaves nothing of a demonstration behind that is interrupted', async () => {
    const TMPDIR = await makeDirectory();
    const stage = await Stage.open('stopped terminal', [process.execPath, program, 'demo'], { TMPDIR });
    await expect.poll(() => readdir(TMPDIR)).not.toEqual([]);
    expect((await stage.end('SIGTERM')).code).toBe(-15);
    expect(await readdir(TMPDIR)).toEqual([]);
  });

  it('is waited for', async () => {
    const stage = await Stage.open('pipe', [process.execPath, program, 'help', 'serve']);
    await expectWriting(stage.pid);
    const lines: string[] = [];
    stage.read((line) => void lines.push(line));
    expect(await stage.ended).toBe(0);
    await expect.poll(() => lines.at(-1)).toMatch(/^ {2}pciback serve/);
  });
});
