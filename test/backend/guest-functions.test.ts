import { join } from 'node:path';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { GuestFunctions } from '../../src/backend/guest-functions.ts';
import type { GuestWorker } from '../../src/backend/guest-worker.ts';
import { Registry } from '../../src/backend/registry.ts';
import { seize } from '../../src/config-space/index.ts';
import { PcibackError } from '../../src/errors.ts';
import { LoopbackPlatform } from '../../src/host/index.ts';
import { BridgeMap } from '../../src/topology/index.ts';
import type { Step } from '../../workers/messages.ts';
import { captured } from '../host/support/functions.ts';
import { seizedIn, snapshotOf } from './assignment.ts';

const nic = captured('8086:10d3');

test('a function that was waited for is given only if it can still be kept apart from others by then', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-functions-'));
  mkdirSync(join(directory, 'evt/0'), { recursive: true });
  const platform = new LoopbackPlatform(directory);
  onTestFinished(() => {
    platform.close();
    rmSync(directory, { recursive: true });
  });
  const registry = new Registry(join(directory, 'state/function'), () => {});
  const taken = await platform.takeFromHost(nic);
  const hardware = platform.openFunction(nic.sbdf);
  registry.add(taken, seize(hardware, nic));
  hardware.close();
  registry.claim(nic.sbdf, 7);

  let isIsolated = true;
  const requireIsolated = (): void => {
    if (!isIsolated) throw new PcibackError('NOT-ISOLATED', 'it shares a page', 'hide the other one');
  };
  const functions = new GuestFunctions(
    {
      registry,
      topology: 'vpci',
      bridges: () => new BridgeMap([]),
      emit: () => {},
      host: { requireHeld: () => {}, requireIsolated },
    },
    8,
    () => expect.unreachable(),
  );
  const given = functions.take(nic.sbdf, 0, false);
  isIsolated = false;
  registry.disclaim(nic.sbdf, 7);
  await expect(given).rejects.toMatchObject({ reason: 'NOT-ISOLATED' });
  expect(registry.ownerOf(nic.sbdf)).toBeUndefined();
  expect(functions.guestAddressOf(nic.sbdf)).toBeUndefined();
});

test('what a guest was trusted with while another worker went on with it is told to that worker', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-functions-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const registry = new Registry(join(directory, 'state/function'), () => {});
  const { sbdf } = nic;
  registry.add({ facts: nic, former: null, wasDriven: false }, seizedIn(directory, nic));
  registry.claim(sbdf, 8);
  registry.update(sbdf, snapshotOf(sbdf, 8, { connected: 'serving' }));

  const steps: Step[] = [];
  const step = async (each: Step): Promise<void> => void steps.push(each);
  const functions = new GuestFunctions(
    {
      registry,
      topology: 'vpci',
      bridges: () => new BridgeMap([]),
      emit: () => {},
      host: { requireHeld: () => {}, requireIsolated: () => {} },
    },
    8,
    () => ({ step }) as GuestWorker,
  );
  // The worker has begun with what was known before.
  const quirk = { sbdf, offset: 0xe8, size: 2, mask: 0xffff } as const;
  const { mode } = registry.addQuirk(quirk);
  functions.resume([sbdf]);
  await functions.restore(sbdf, sbdf, false);
  expect(steps).toEqual([{ do: 'trust', sbdf, mode }]);
  expect(mode.quirks).toContainEqual(quirk);
});
