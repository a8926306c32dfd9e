import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Registry, stateOf } from '../../src/backend/registry.ts';
import { resetUnowned } from '../../src/backend/reset-unowned.ts';
import { seize } from '../../src/config-space/index.ts';
import { PcibackError } from '../../src/errors.ts';
import { LoopbackPlatform } from '../../src/host/index.ts';
import type { Belongings } from '../../src/host/platform.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { captured, sbdf } from '../host/support/functions.ts';

const nic = { ...captured('8086:10d3'), resetMethods: ['flr'] };
const sibling = { ...nic, sbdf: sbdf('0000:7f:00.1') };

async function setting() {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-unowned-'));
  mkdirSync(join(directory, 'evt/0'), { recursive: true });
  const platform = new LoopbackPlatform(directory);
  onTestFinished(() => {
    platform.close();
    rmSync(directory, { recursive: true });
  });
  const registry = new Registry(join(directory, 'state/function'), () => {});
  for (const facts of [nic, sibling]) {
    const taken = await platform.takeFromHost(facts);
    const hardware = platform.openFunction(facts.sbdf);
    registry.add(taken, seize(hardware, facts));
    hardware.close();
  }
  const asked: unknown[][] = [];
  platform.revoke = (domid?: number, { sbdf: of } = expect.unreachable(), others?: readonly Belongings[]) =>
    void asked.push(['revoke', domid, of, others?.map((each) => each.sbdf)]);
  platform.requireUnassigned = (of?: number, guest?: number) => void asked.push(['unassigned', of, guest]);
  const events: BackendEvent[] = [];
  const reset = () => resetUnowned(platform, registry, nic.sbdf, (event) => events.push(event));
  const state = () => stateOf(registry.get(nic.sbdf) ?? expect.unreachable());
  return { platform, registry, asked, events, reset, state };
}

test('a function that no guest has is taken from none', async () => {
  const { asked, reset, state } = await setting();
  await reset();
  expect(asked).toEqual([['unassigned', nic.sbdf, undefined]]);
  expect(state()).toBe('hidden');
});

test('what its last guest may have kept of a quarantined function is taken from it before the function is hidden again', async () => {
  const { registry, asked, reset, state } = await setting();
  registry.claim(nic.sbdf, 7);
  registry.claim(sibling.sbdf, 7);
  registry.quarantine(nic.sbdf, { reason: 'HYPERCALL-FAILED', message: 'Xen does not take it' });
  await reset();
  expect(asked).toEqual([
    ['revoke', 7, nic.sbdf, [sibling.sbdf]],
    ['unassigned', nic.sbdf, 7],
  ]);
  expect(state()).toBe('hidden');
  asked.length = 0;
  await reset();
  expect(asked).toEqual([['unassigned', nic.sbdf, undefined]]);
});

test('a function of which its last guest keeps something stays quarantined', async () => {
  const { platform, registry, reset, state } = await setting();
  registry.claim(nic.sbdf, 7);
  registry.quarantine(nic.sbdf, { reason: 'HYPERCALL-FAILED', message: 'Xen does not take it' });
  platform.revoke = () => {
    throw new PcibackError('HYPERCALL-FAILED', 'still not', 'destroy domain 7');
  };
  await expect(reset()).rejects.toMatchObject({ remedy: 'destroy domain 7' });
  expect(state()).toBe('quarantined');
});
