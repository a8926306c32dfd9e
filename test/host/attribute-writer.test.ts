/** Attributes that the kernel takes its time to take: a FIFO that nobody reads is opened for writing for as long. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, test } from 'vitest';
import { isWriteUnderWay, writeAttribute, writeUnderWay } from '../../src/host/attribute-writer.ts';
import { linuxHost } from '../../src/host/host-root.ts';
import { nativeAddon } from '../../src/host/native.ts';
import { SysfsFunction } from '../../src/host/sysfs-function.ts';
import { captured } from './support/functions.ts';
import { temporaryDirectory, writeFunction } from './support/tree.ts';

const nic = captured('8086:10d3');

/** A device whose reset ends when `finish` is called; that returns what was written. */
function slowDevice(directory = temporaryDirectory()) {
  const reset = join(directory, 'reset');
  execFileSync('mkfifo', [reset]);
  return { directory, reset, finish: () => readFileSync(reset, 'latin1') };
}

test('of five functions four hang: the fifth is reset at once, and files are read and written', async () => {
  const slow = Array.from({ length: 4 }, () => slowDevice());
  const hanging = slow.map(({ directory, reset }) => writeAttribute(reset, '1', directory));
  await expect.poll(() => slow.every(({ directory }) => isWriteUnderWay(directory))).toBe(true);
  const fifth = temporaryDirectory();
  writeFileSync(join(fifth, 'reset'), '');
  await writeAttribute(join(fifth, 'reset'), '1', fifth);
  expect(await readFile(join(fifth, 'reset'), 'latin1')).toBe('1');
  expect(slow.every(({ directory }) => isWriteUnderWay(directory))).toBe(true);
  for (const { finish } of slow) expect(finish()).toBe('1');
  await Promise.all(hanging);
  for (const { directory } of slow) await writeUnderWay(directory);
});

test('what is written about a device is written after what is being written about it', async () => {
  const { directory, reset, finish } = slowDevice();
  const enable = join(directory, 'enable');
  writeFileSync(enable, '');
  const first = writeAttribute(reset, '1', directory);
  await expect.poll(() => isWriteUnderWay(directory)).toBe(true);
  let isDone = false;
  const second = writeAttribute(enable, '1', directory).then(() => (isDone = true));
  // Of another device something may be written meanwhile.
  const other = temporaryDirectory();
  writeFileSync(join(other, 'enable'), '');
  await writeAttribute(join(other, 'enable'), '1', other);
  expect([isDone, readFileSync(enable, 'latin1')]).toEqual([false, '']);
  finish();
  await Promise.all([first, second]);
  expect(readFileSync(enable, 'latin1')).toBe('1');
});

const helper = fileURLToPath(new URL('support/writing-process.ts', import.meta.url));

/** A process that writes, and dies or ends while it does. */
async function writingProcess(reset: string, directory: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', helper, reset, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await expect.poll(() => isWriteUnderWay(directory), { timeout: 60_000 }).toBe(true);
  return child;
}

test.each([
  ['is killed', 'SIGKILL', null],
  ['has nothing else to do', undefined, 0],
] as const)(
  'a process that %s ends although its write hangs, and the next one waits for that with its own',
  async (_, signal, code) => {
    const { directory, reset, finish } = slowDevice();
    const child = await writingProcess(reset, directory);
    const ended = once(child, 'exit');
    if (signal) child.kill(signal);
    expect((await ended)[0]).toBe(code);
    // Nobody who reads what it printed waits any longer either.
    expect(isWriteUnderWay(directory)).toBe(true);
    const enable = join(directory, 'enable');
    writeFileSync(enable, '');
    const own = writeAttribute(enable, '1', directory);
    const free = writeUnderWay(directory);
    expect(readFileSync(enable, 'latin1')).toBe('');
    finish();
    await Promise.all([own, free]);
    expect(readFileSync(enable, 'latin1')).toBe('1');
    await expect.poll(() => isWriteUnderWay(directory)).toBe(false);
  },
  90_000,
);

it('tells what the operating system said', async () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'unbind'));
  await expect(writeAttribute(join(directory, 'reset'), '1', directory)).rejects.toMatchObject({
    code: 'ENOENT',
  });
  await expect(writeAttribute(join(directory, 'unbind'), '1', directory)).rejects.toMatchObject({
    code: 'EISDIR',
  });
  await expect(writeAttribute(join(directory, 'reset'), '1', join(directory, 'gone'))).rejects.toMatchObject({
    code: 'ENOENT',
  });
  expect([isWriteUnderWay(directory), isWriteUnderWay(join(directory, 'gone'))]).toEqual([false, false]);
});

test('no register of a function is touched while the kernel resets it: whoever does waits with it', async () => {
  const root = { ...linuxHost, sysfs: temporaryDirectory() };
  const directory = writeFunction(join(root.sysfs, 'bus/pci/devices'), nic);
  const { finish } = slowDevice(directory);
  const fn = new SysfsFunction(root, nic.sbdf, nativeAddon().ConfigFile);
  const before = fn.read(0x04, 2);
  const reset = fn.reset('flr');
  await expect.poll(() => isWriteUnderWay(directory)).toBe(true);
  expect([fn.read(0x04, 2), fn.read(0x04, 4), fn.read(0x04, 1)]).toEqual([0xffff, 0xffff_ffff, 0xff]);
  fn.write(0x04, 2, 0);
  finish();
  await reset;
  expect(fn.read(0x04, 2)).toBe(before);
  fn.close();
});
