import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Registry, hostOwner } from '../../src/backend/registry.ts';
import { captured } from '../host/support/functions.ts';
import { seizedIn, snapshotOf } from './assignment.ts';

const nic = captured('8086:10d3');
const { sbdf } = nic;

/** A registry with one function that is hidden. */
function registryOf(): Registry {
  const directory = mkdtempSync(join(tmpdir(), 'pciback-registry-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const registry = new Registry(join(directory, 'state/function'), () => {});
  registry.add({ facts: nic, former: null, wasDriven: false }, seizedIn(directory, nic));
  return registry;
}

const reasonOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return (error as { reason?: string }).reason;
  }
};

describe('a function', () => {
  it('is one guest’s from the moment at which it is claimed, before its machine knows of that', () => {
    const registry = registryOf();
    const entry = registry.claim(sbdf, 5);
    expect(registry.claim(sbdf, 5)).toBe(entry);
    expect(() => registry.claim(sbdf, 6)).toThrow(
      expect.objectContaining({
        reason: 'FUNCTION-IN-USE',
        message: '0000:41:00.0 belongs to domain 5',
        remedy: 'take it back first: pciback detach 5 0000:41:00.0',
      }),
    );
    expect(registry.ownerOf(sbdf)).toBe(5);
  });

  it('is not given to a guest while the host works on it, and not worked on while a guest has it', async () => {
    const registry = registryOf();
    const worked = registry.whileUnowned(sbdf, async () => {
      expect(registry.ownerOf(sbdf)).toBe(hostOwner);
      return reasonOf(() => registry.claim(sbdf, 5));
    });
    expect(await worked).toBe('FUNCTION-IN-USE');
    registry.claim(sbdf, 5);
    const touched = registry.whileUnowned(sbdf, async () => expect.unreachable());
    await expect(touched).rejects.toMatchObject({ reason: 'FUNCTION-IN-USE' });
  });

  it('stays its guest’s when another one says that it is done with it', () => {
    const registry = registryOf();
    registry.claim(sbdf, 5);
    registry.disclaim(sbdf, 6);
    expect(registry.ownerOf(sbdf)).toBe(5);
    registry.update(sbdf, snapshotOf(sbdf, 5, 'bound'));
    registry.disclaim(sbdf, 5);
    expect(registry.ownerOf(sbdf)).toBe(5);
  });

  it('that a guest has by other hands is its own, and none that a session gives back', () => {
    const registry = registryOf();
    expect(registry.lend(sbdf, 5)).toBe(true);
    expect([registry.ownerOf(sbdf), registry.isLent(sbdf, 5), registry.ownedBy(5)]).toEqual([5, true, []]);
    expect([registry.lend(sbdf, 6), reasonOf(() => registry.claim(sbdf, 6))]).toEqual([
      false,
      'FUNCTION-IN-USE',
    ]);
    // A session of ours begins to serve the guest after all.
    registry.claim(sbdf, 5);
    expect([registry.isLent(sbdf, 5), registry.ownedBy(5)]).toEqual([false, [sbdf]]);
  });

  it('that is quarantined is nobody’s, and given to nobody', () => {
    const registry = registryOf();
    registry.claim(sbdf, 5);
    registry.quarantine(sbdf, {
      reason: 'RESET-FAILED',
      message: 'it did not come back',
      remedy: 'reset it',
    });
    expect(registry.ownerOf(sbdf)).toBeUndefined();
    expect(reasonOf(() => registry.claim(sbdf, 6))).toBe('QUARANTINED');
  });

  it('is given to the next guest with nothing of what the last one was trusted with', () => {
    const registry = registryOf();
    registry.claim(sbdf, 5);
    registry.update(sbdf, snapshotOf(sbdf, 5, 'bound'));
    expect(registry.trust(sbdf, true).permissive).toBe(true);
    registry.update(sbdf, snapshotOf(sbdf, 5, 'reset'));
    registry.quarantine(sbdf, {
      reason: 'RESET-FAILED',
      message: 'it did not come back',
      remedy: 'reset it',
    });
    expect(registry.get(sbdf)?.mode.permissive).toBe(false);
  });
});
