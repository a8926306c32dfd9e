import { join } from 'node:path';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { GuestFunctions } from '../../src/backend/guest-functions.ts';
import { Registry } from '../../src/backend/registry.ts';
import { seize } from '../../src/config-space/index.ts';
import { PcibackError } from '../../src/errors.ts';
import { LoopbackPlatform } from '../../src/host/index.ts';
import { BridgeMap } from '../../src/topology/index.ts';
import { captured } from '../host/support/functions.ts';

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
      host: { requireIsolated },
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
