import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hasVanished, lockFile, mapFile, unmapFile, waitForLock } from '../../src/host/files.ts';
import { addonPath, LoopbackDirectory } from './loopback-setting.ts';

/** Another process that holds the lock. */
async function startHolder(path: string): Promise<ChildProcess> {
  const code = `require(process.argv[1]).lockFile(process.argv[2]); console.log('locked'); setInterval(() => {}, 1e6)`;
  const holder = spawn(process.execPath, ['-e', code, addonPath, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  return holder;
}

/** How often a file is mapped in this process. */
const mappingsOf = (path: string): number =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(` ${path}`)).length;

/** A thread that maps a file as well. */
const mapsToo = `
  const { parentPort, workerData: { addonPath, path } } = require('node:worker_threads');
  const { mapFile, unmapFile } = require(addonPath);
  const buffer = mapFile(path, 8192, false);
  parentPort.postMessage('mapped');
  parentPort.once('message', () => {
    const byte = new Uint8Array(buffer)[7];
    unmapFile(buffer);
    setImmediate(() => parentPort.postMessage(byte));
  });
`;

describe('a mapped file', () => {
  test('shows what the file holds, and the file what is written', () => {
    const directory = new LoopbackDirectory();
    const path = directory.in('record');
    writeFileSync(
      path,
      Uint8Array.from({ length: 4096 }, (_, i) => i),
    );
    const bytes = new Uint8Array(mapFile(path, 4096));
    expect(bytes.length).toBe(4096);
    expect(bytes[300]).toBe(44);
    bytes[300] = 1;
    expect(readFileSync(path)[300]).toBe(1);
  });

  test('two mappings are one memory', () => {
    const path = new LoopbackDirectory().in('record');
    const one = new Int32Array(mapFile(path, 4096, { create: true }));
    const other = new Int32Array(mapFile(path, 4096));
    one[7] = 42;
    expect(other[7]).toBe(42);
    expect(Atomics.add(other, 7, 1)).toBe(42);
    expect(one[7]).toBe(43);
  });

  test('is made, or grown, only on demand', () => {
    const path = new LoopbackDirectory().in('record');
    expect(() => mapFile(path, 4096)).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'open' }));
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, 'abc');
    expect(() => mapFile(path, 4096)).toThrow(expect.objectContaining({ code: 'ENXIO' }));
    const bytes = new Uint8Array(mapFile(path, 4096, { create: true }));
    expect(Buffer.from(bytes.subarray(0, 4)).toString()).toBe('abc\0');
    expect(readFileSync(path).length).toBe(4096);
  });

  test('must be a regular file', () => {
    const directory = new LoopbackDirectory();
    directory.makeFifo('fifo');
    symlinkSync('fifo', directory.in('link'));
    expect(() => mapFile(directory.in('fifo'), 4096)).toThrow('EINVAL');
    expect(() => mapFile(directory.in('link'), 4096)).toThrow('ELOOP');
    expect(() => mapFile(directory.path, 4096)).toThrow('EISDIR');
  });

  test('reads as zeroes once the file is truncated, and says so', () => {
    const path = new LoopbackDirectory().in('record');
    const buffer = mapFile(path, 8192, { create: true });
    const bytes = new Uint8Array(buffer).fill(7);
    expect(hasVanished(buffer)).toBe(false);
    truncateSync(path, 4096);
    expect(bytes[4095]).toBe(7);
    expect(hasVanished(buffer)).toBe(false);
    expect(bytes[4096]).toBe(0);
    expect(hasVanished(buffer)).toBe(true);
    bytes[5000] = 1;
    expect(bytes[5000]).toBe(1);
    expect(readFileSync(path).length).toBe(4096);
  });

  test('is mapped once for all in this process, until all have let go of it', async () => {
    const path = new LoopbackDirectory().in('record');
    const others = mappingsOf(path);
    const one = mapFile(path, 8192, { create: true });
    const other = mapFile(path, 8192);
    const thread = new Worker(mapsToo, { eval: true, workerData: { addonPath, path } });
    onTestFinished(async () => void (await thread.terminate()));
    await once(thread, 'message');
    new Uint8Array(one)[7] = 42;
    expect(new Uint8Array(other)[7]).toBe(42);
    expect(mappingsOf(path)).toBe(others + 1);

    unmapFile(one);
    thread.postMessage('unmap');
    expect(await once(thread, 'message')).toEqual([42]);
    expect(mappingsOf(path)).toBe(others + 1);
    unmapFile(other);
    await expect.poll(() => mappingsOf(path)).toBe(others);
  });

  test('is empty for everybody once it is unmapped', () => {
    const buffer = mapFile(new LoopbackDirectory().in('record'), 8192, { create: true });
    const bytes = new Uint8Array(buffer).fill(7);
    unmapFile(buffer);
    unmapFile(buffer);
    expect([buffer.byteLength, bytes.length, bytes[5]]).toEqual([0, 0, undefined]);
    bytes[5] = 1;
    expect(bytes[5]).toBeUndefined();
    expect(() => unmapFile(new ArrayBuffer(8))).toThrow('buffer must be the ArrayBuffer of a mapping');
  });

  test('that was lost and made whole again is mapped anew', () => {
    const path = new LoopbackDirectory().in('record');
    const lost = mapFile(path, 4096, { create: true });
    truncateSync(path);
    expect(new Uint8Array(lost)[0]).toBe(0);
    writeFileSync(path, new Uint8Array(4096).fill(7));
    const whole = mapFile(path, 4096);
    expect(new Uint8Array(whole)[0]).toBe(7);
    expect([hasVanished(lost), hasVanished(whole)]).toEqual([true, false]);
    unmapFile(lost);
    unmapFile(whole);
  });

  test('is one of more than 16,384 that are mapped at once, and each of them may be lost', async () => {
    const directory = new LoopbackDirectory();
    const path = directory.in('all');
    const number = 16_400;
    writeFileSync(path, new Uint8Array(number));
    const others = mappingsOf(path);
    // As many bytes as nobody else maps: each is a mapping of its own.
    const buffers = Array.from({ length: number }, (_, index) => mapFile(path, index + 1));
    expect(mappingsOf(path)).toBe(others + number);
    truncateSync(path);
    for (const index of [0, 511, 512, 2047, 2048, number - 1]) {
      const buffer = buffers[index] ?? new ArrayBuffer(0);
      expect([new Uint8Array(buffer)[0], hasVanished(buffer)]).toEqual([0, true]);
      expect(hasVanished(buffers[index + 1] ?? buffers[1] ?? buffer)).toBe(false);
    }
    for (const buffer of buffers) unmapFile(buffer);
    await expect.poll(() => mappingsOf(path)).toBe(others);
  });

  test('arguments are checked', () => {
    expect(() => mapFile('', 4096)).toThrow('path must be a string');
    expect(() => mapFile('/tmp/x', 0)).toThrow('bytes must be an integer from 1');
    expect(() => hasVanished(new ArrayBuffer(8))).toThrow('buffer must be the ArrayBuffer of a mapping');
  });
});

describe('a locked file', () => {
  test('excludes others until it is unlocked', () => {
    const path = new LoopbackDirectory().in('lock');
    const lock = lockFile(path);
    expect(lock).not.toBe(false);
    expect(lockFile(path)).toBe(false);
    if (lock) {
      lock.unlock();
      const next = lockFile(path);
      expect(next).not.toBe(false);
      lock.unlock();
      expect(lockFile(path)).toBe(false);
      if (next) next.unlock();
    }
  });

  test('is free when its holder was killed', async () => {
    const path = new LoopbackDirectory().in('lock');
    const holder = await startHolder(path);
    expect(lockFile(path)).toBe(false);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    expect(lockFile(path)).not.toBe(false);
  });

  test('is not inherited by programs that the holder starts', async () => {
    const path = new LoopbackDirectory().in('lock');
    const lock = lockFile(path);
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    if (lock) lock.unlock();
    expect(lockFile(path)).not.toBe(false);
    child.kill();
    await once(child, 'exit');
  });

  test('a file that was removed and made anew is another lock', () => {
    const path = new LoopbackDirectory().in('lock');
    expect(lockFile(path)).not.toBe(false);
    unlinkSync(path);
    expect(lockFile(path)).not.toBe(false);
    expect(lockFile(path)).toBe(false);
  });

  test('is waited for: whoever waits has it the moment that its holder is killed', async () => {
    const path = new LoopbackDirectory().in('lock');
    const holder = await startHolder(path);
    let waits = true;
    const waiting = waitForLock(path, new AbortController().signal).finally(() => (waits = false));
    await turn();
    expect(waits).toBe(true);
    holder.kill('SIGKILL');
    const lock = await waiting;
    expect(lockFile(path)).toBe(false);
    lock.unlock();
    expect(lockFile(path)).not.toBe(false);
  });

  test('is not had by one who has given up waiting for it', async () => {
    const path = new LoopbackDirectory().in('lock');
    const lock = lockFile(path);
    for (let round = 0; round < 20; round += 1) {
      const impatience = new AbortController();
      const waiting = waitForLock(path, impatience.signal);
      if (round % 2 === 0) await turn();
      impatience.abort(new Error(`round ${round}`));
      await expect(waiting).rejects.toThrow(`round ${round}`);
    }
    if (lock) lock.unlock();
    expect(lockFile(path)).not.toBe(false);
  });

  test('is not waited for in a directory that is gone', async () => {
    const directory = new LoopbackDirectory();
    const path = directory.in('lock');
    const lock = lockFile(path);
    const waiting = waitForLock(path, new AbortController().signal);
    rmSync(directory.path, { recursive: true });
    if (lock) lock.unlock();
    await expect(waiting).rejects.toMatchObject({ reason: 'BAD-DIRECTORY' });
  });

  test('errors are named', () => {
    const directory = new LoopbackDirectory();
    execFileSync('ln', ['-s', 'elsewhere', directory.in('link')]);
    expect(() => lockFile(directory.in('link'))).toThrow('ELOOP');
    rmSync(directory.path, { recursive: true });
    expect(() => lockFile(directory.in('lock'))).toThrow(
      expect.objectContaining({ code: 'ENOENT', syscall: 'open' }),
    );
  });
});
