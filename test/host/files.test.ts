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
import { describe, expect, test } from 'vitest';
import { hasVanished, lockFile, mapFile, waitForLock } from '../../src/host/files.ts';
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
