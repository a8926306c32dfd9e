import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LoopbackPlatform } from '../../src/host/index.ts';
import { createDomain, destroyDomain, domainState, setDomainState } from '../../src/xpci/index.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'xpci-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('a domain exists from the moment its file is complete', async () => {
  await createDomain(directory, 5);
  expect(await domainState(directory, 5)).toBe('running');
  expect(await readdir(join(directory, 'dom'))).toEqual(['5']);
});

test('a domain that exists is not made again', async () => {
  await createDomain(directory, 5);
  await setDomainState(directory, 5, 'shutdown 3');
  await expect(createDomain(directory, 5)).rejects.toMatchObject({ reason: 'BAD-DOMID' });
  expect(await domainState(directory, 5)).toBe('shutdown 3');
  expect(await readdir(join(directory, 'dom'))).toEqual(['5']);
});

test('a domain is the same one whatever it does, and the next one of its id another', async () => {
  const platform = new LoopbackPlatform(directory);
  expect(platform.domainIdentity(5)).toBeNull();
  await createDomain(directory, 5);
  const identity = platform.domainIdentity(5);
  expect(identity).not.toBeNull();
  for (const state of ['shutdown 3', 'dying', 'running'] as const) {
    await setDomainState(directory, 5, state);
    expect(await domainState(directory, 5)).toBe(state);
    expect(platform.domainIdentity(5)).toBe(identity);
  }
  const seen = new Set([identity]);
  for (let times = 0; times < 20; times++) {
    await destroyDomain(directory, 5);
    await createDomain(directory, 5);
    seen.add(platform.domainIdentity(5));
  }
  expect(seen.size).toBe(21);
  platform.close();
});

test('a domain that is destroyed leaves nothing behind', async () => {
  await createDomain(directory, 5);
  await mkdir(join(directory, 'gnt/5'), { recursive: true });
  await writeFile(join(directory, 'gnt/5/8'), 'page');
  await destroyDomain(directory, 5);
  expect(await domainState(directory, 5)).toBeUndefined();
  expect(await readdir(join(directory, 'gnt'))).toEqual([]);
  await destroyDomain(directory, 5);
});

test.each([0, -1, 1.5, 0x7ff0, Number.NaN])('%d is not the id of a guest', async (domid) => {
  await expect(createDomain(directory, domid)).rejects.toMatchObject({ reason: 'BAD-DOMID' });
});
