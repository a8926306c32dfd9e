import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { makePool } from '../../src/backend/pool.ts';
import { Rehearsal } from '../../src/backend/rehearsal.ts';
import { FunctionRecord } from '../../src/config-space/index.ts';
import { openPlatform } from '../../src/host/index.ts';

const threads = 2;
const pool = makePool(threads);
afterAll(() => pool.destroy());
const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'rehearsal-'));

describe.each(['loopback', 'xen'] as const)('for %s', (kind) => {
  test('every thread answers requests, a guest comes up and is taken over, and nothing is left of it', async () => {
    const directory = newDirectory();
    const where = { kind, directory };
    const rehearsal = new Rehearsal(pool, where, directory);
    await rehearsal.ofThreads({ kind: 'loopback', directory });
    await rehearsal.ofGuest();

    const platform = openPlatform({ kind: 'loopback', directory });
    const recordOf = (domid: number): FunctionRecord | undefined =>
      FunctionRecord.adopt(platform.mapRecord(makeSbdf(0, domid, 0, 0)));
    for (let domid = 1; domid <= threads; domid++) expect(recordOf(domid)?.reads).toBeGreaterThan(5);
    // The one that came up for the control plane has its functions as its successor left them.
    expect(recordOf(threads + 1)).toBeDefined();

    await rehearsal.end();
    expect(existsSync(directory)).toBe(false);
  });
});

test('is over at once the second time', async () => {
  const rehearsal = new Rehearsal(pool, { kind: 'xen' }, newDirectory());
  const first = rehearsal.ofGuest();
  expect(rehearsal.ofGuest()).toBe(first);
  await first;
  await rehearsal.end();
});

test('of a thread that cannot open its platform fails, and ends all the same', async () => {
  const directory = newDirectory();
  const rehearsal = new Rehearsal(pool, { kind: 'loopback', directory }, directory);
  const nowhere = { kind: 'loopback', directory: join(directory, 'is', 'not', 'there') } as const;
  await expect(rehearsal.ofThreads(nowhere)).rejects.toThrow('cannot use');
  await rehearsal.end();
  expect(existsSync(directory)).toBe(false);
});

test('of which one thread fails is not over before the others are', async () => {
  const directory = newDirectory();
  const where = { kind: 'loopback', directory } as const;
  // Threads that have rehearsed before would be done too soon.
  const cold = makePool(threads);
  const rehearsal = new Rehearsal(cold, where, directory);
  // Where the second thread would put the page of its guest.
  writeFileSync(join(directory, 'gnt', '2'), '');
  await expect(rehearsal.ofThreads(where)).rejects.toThrow('for domain 2');
  expect(cold.completed).toBe(threads);
  await rehearsal.end();
  expect(existsSync(directory)).toBe(false);
  await cold.destroy();
});
