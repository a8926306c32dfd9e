import { describe, expect, onTestFinished, test } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import { HostFunctions } from '../../src/backend/host-functions.ts';
import { CapabilityId, Msix } from '../../src/config-space/bits.ts';
import { findCapability } from '../../src/config-space/capabilities.ts';
import { PcibackError } from '../../src/errors.ts';
import { type FunctionFacts, ModelFault, openModel } from '../../src/host/index.ts';
import { claimPath, driverPath } from '../../src/xenbus/index.ts';
import { nic, other, setting, stuck } from './played-host.ts';

const msixControl = (findCapability(nic.config, CapabilityId.msix) ?? expect.unreachable()) + Msix.control;

test('the driver that loses a function is written down where libxl looks for it, and read there when a stub has it', async () => {
  const first = await setting({ [nic.sbdf]: 'e1000e' });
  await first.host.hide(nic.sbdf, false);
  expect(await first.store.read(driverPath(nic.sbdf))).toBe('/sys/bus/pci/drivers/e1000e');

  const second = await setting({ [nic.sbdf]: 'pciback' });
  await second.store.write(driverPath(nic.sbdf), '/sys/bus/pci/drivers/e1000e');
  await second.host.hide(nic.sbdf, false);
  expect(second.registry.get(nic.sbdf)?.former).toMatchObject({ formerDriver: 'e1000e' });
});

test('a function that a toolstack has listed is taken for that guest, from the kernel’s stub only', async () => {
  const { platform, registry, host } = await setting({ [nic.sbdf]: 'pciback', [other.sbdf]: 'e1000e' });
  await host.hideListed(nic.sbdf, 7);
  await host.hideListed(other.sbdf, 7);
  expect(platform.takenFor).toEqual([7]);
  expect(registry.get(other.sbdf)).toBeUndefined();
});

test('a function that is claimed for a guest of the kernel’s is not taken for another, nor for nobody', async () => {
  const { platform, store, host } = await setting({ [nic.sbdf]: 'pciback' });
  await store.write(claimPath(nic.sbdf), '7');
  const refusal = { reason: 'FUNCTION-IN-USE' };
  await expect(host.hideListed(nic.sbdf, 8)).rejects.toMatchObject(refusal);
  await expect(host.hide(nic.sbdf, true)).rejects.toMatchObject(refusal);
  expect(platform.takenFor).toEqual([]);
});

test.each([
  ['e1000e', [{ formerDriver: 'e1000e' }], 'e1000e'],
  ['pci-stub', [null], 'pci-stub'],
  // A toolstack offers it to its guests: there it is looked for.
  ['pciback', [], 'pciback'],
])('a function that cannot be seized goes back to %s', async (driver, formers, after) => {
  const { platform, registry, store, host } = await setting({ [nic.sbdf]: driver });
  await store.write(driverPath(nic.sbdf), '/sys/bus/pci/drivers/igb');
  platform.openFunction = () => {
    throw new PcibackError('NO-PERMISSION', 'its registers cannot be opened', 'run it as root');
  };
  await expect(host.hide(nic.sbdf, false)).rejects.toMatchObject({ reason: 'NO-PERMISSION' });
  expect(registry.get(nic.sbdf)).toBeUndefined();
  expect(platform.returned.map(({ former: put }) => put)).toMatchObject(formers);
  expect(platform.driverOf(nic.sbdf)).toBe(after);
});

test('a function that cannot be reset is quarantined once none of its vectors keeps Xen from that', async () => {
  const { platform, host } = await setting({ [stuck.sbdf]: 'e1000e' });
  const masked: boolean[] = [];
  platform.requireUnassigned = (at = stuck.sbdf) => {
    const hardware = platform.openFunction(at);
    masked.push((hardware.read(msixControl, 2) & Msix.functionMask) !== 0);
    hardware.close();
  };
  await platform.takeFromHost(stuck);
  platform.openFunction(stuck.sbdf).write(msixControl, 2, Msix.functionMask);
  await host.hide(stuck.sbdf, false);
  expect(masked).toEqual([false]);
});

test('two who ask for the same function at the same time wait for one taking', async () => {
  const { platform, host } = await setting({ [nic.sbdf]: 'e1000e' });
  await Promise.all([host.hide(nic.sbdf, false), host.hide(nic.sbdf, false)]);
  expect(platform.takenFor).toHaveLength(1);
});

test('a function that a driver of the host has got back by other hands is hidden no more', async () => {
  const { platform, registry, host, events } = await setting({ [nic.sbdf]: 'e1000e' });
  await host.hide(nic.sbdf, false);
  platform.drivers.set(nic.sbdf, 'e1000e');
  host.reconcile();
  expect(registry.get(nic.sbdf)).toBeUndefined();
  expect(events).toContainEqual(expect.objectContaining({ type: 'function.unhidden', to: 'e1000e' }));
});

test('functions that no guest has are held anew at the start, and what keeps one from that keeps no other from it', async () => {
  const { platform, registry, host, events } = await setting({
    [nic.sbdf]: 'e1000e',
    [other.sbdf]: 'e1000e',
  });
  const held: number[] = [];
  const failing = new PcibackError('HYPERCALL-FAILED', 'Xen does not', 'see xl dmesg');
  platform.hold = (facts?: FunctionFacts) => {
    held.push(facts?.sbdf ?? expect.unreachable());
    if (facts?.sbdf === nic.sbdf) throw failing;
  };
  host.reconcile();
  expect(held).toEqual([]);
  await host.hide(nic.sbdf, false);
  await host.hide(other.sbdf, false);
  host.reconcile();
  expect(held).toEqual([nic.sbdf, other.sbdf]);
  expect(events.filter(({ type }) => type === 'warning')).toMatchObject([
    { subject: formatSbdf(nic.sbdf), reason: 'HYPERCALL-FAILED', remedy: 'see xl dmesg' },
  ]);
  // What a guest has is left as it is, and so is what another toolstack has given to one.
  registry.claim(nic.sbdf, 7);
  platform.hold = () => {
    throw new PcibackError('FUNCTION-IN-USE', 'Xen has assigned it to another domain', 'see who has it');
  };
  host.reconcile();
  expect(events.filter(({ type }) => type === 'warning')).toHaveLength(1);
});

test('a function that shares a page with another is given to no guest unless that one is hidden and free, or its', async () => {
  const { registry, host } = await setting({ [nic.sbdf]: 'e1000e', [other.sbdf]: 'e1000e' });
  const refusal = expect.objectContaining({ reason: 'NOT-ISOLATED' });
  expect(() => host.requireIsolated(nic.sbdf, 7)).toThrow(refusal);
  await host.hide(other.sbdf, false);
  expect(() => host.requireIsolated(nic.sbdf, 7)).not.toThrow();
  registry.claim(other.sbdf, 7);
  expect(() => host.requireIsolated(nic.sbdf, 7)).not.toThrow();
  expect(() => host.requireIsolated(nic.sbdf, 8)).toThrow(refusal);
});

test('a function goes back to its driver only when no guest reaches its registers by a page that it shares', async () => {
  const { platform, registry, host } = await setting({ [nic.sbdf]: 'e1000e', [other.sbdf]: 'e1000e' });
  await host.hide(nic.sbdf, false);
  await host.hide(other.sbdf, false);
  registry.claim(other.sbdf, 7);
  for (const force of [false, true]) {
    await expect(host.unhide(nic.sbdf, force)).rejects.toMatchObject({
      reason: 'NOT-ISOLATED',
      remedy: expect.stringContaining(`pciback detach 7 ${formatSbdf(other.sbdf)}`) as string,
    });
  }
  expect(platform.driverOf(nic.sbdf)).toBe('pciback');
  expect(registry.ownerOf(nic.sbdf)).toBeUndefined();
  registry.disclaim(other.sbdf, 7);
  await host.unhide(nic.sbdf, false);
  expect(platform.driverOf(nic.sbdf)).toBe('e1000e');
});

test('while a function is given back no guest is given one that shares a page with it', async () => {
  const { platform, host } = await setting({ [nic.sbdf]: 'e1000e', [other.sbdf]: 'e1000e' });
  await host.hide(nic.sbdf, false);
  await host.hide(other.sbdf, false);
  const isolated = () => host.requireIsolated(other.sbdf, 7);
  expect(isolated).not.toThrow();
  let refusal: unknown;
  platform.returnToHost = async () => {
    try {
      isolated();
    } catch (error) {
      refusal = error;
    }
  };
  await host.unhide(nic.sbdf, false);
  expect(refusal).toMatchObject({ reason: 'NOT-ISOLATED' });
});

test('a function that does not answer is not hidden, and goes back to its driver with its address told', async () => {
  const { platform, registry, host } = await setting({ [nic.sbdf]: 'e1000e' });
  await platform.takeFromHost(nic);
  const hardware = openModel(platform.directory, nic.sbdf);
  onTestFinished(() => hardware.close());
  platform.drivers.set(nic.sbdf, 'e1000e');
  hardware.faults = ModelFault.absent;
  for (const force of [false, true]) {
    await expect(host.hide(nic.sbdf, force)).rejects.toMatchObject({
      reason: 'NOT-ANSWERING',
      message: `${formatSbdf(nic.sbdf)} does not answer`,
    });
    expect(registry.get(nic.sbdf)).toBeUndefined();
    expect(platform.driverOf(nic.sbdf)).toBe('e1000e');
  }
});

test('a function that does not answer shares its pages all the same', async () => {
  const { registry, platform, store } = await setting({ [nic.sbdf]: 'e1000e' });
  const silent = {
    ...other,
    config: null,
    origin: 'host' as const,
    problem: 'does not answer',
    refusal: new PcibackError('NOT-ANSWERING', 'it does not answer', 'wake it'),
  };
  const inventory = { functions: [nic], silent: [silent], warnings: [] };
  platform.factsOf = () => null;
  const host = new HostFunctions({ platform, registry, xenstore: store, emit: () => undefined }, inventory);
  expect(() => host.requireIsolated(nic.sbdf, 7)).toThrow(
    expect.objectContaining({ reason: 'NOT-ISOLATED' }),
  );
  await expect(host.hide(other.sbdf, false)).rejects.toBe(silent.refusal);
});

test.each([false, true])(
  'a function is not hidden while a guest would lose another along with it; forced: %s',
  async (force) => {
    const { platform, registry, host } = await setting({ [nic.sbdf]: 'igb', [other.sbdf]: 'igbvf' });
    platform.below.set(nic.sbdf, [other.sbdf]);
    await host.hide(other.sbdf, false);
    registry.claim(other.sbdf, 7);
    await expect(host.hide(nic.sbdf, force)).rejects.toMatchObject({
      reason: 'FUNCTION-IN-USE',
      message: `${formatSbdf(other.sbdf)}, which domain 7 has, would be lost along with ${formatSbdf(nic.sbdf)}`,
      remedy: `take it back first: pciback detach 7 ${formatSbdf(other.sbdf)}`,
    });
    expect(platform.driverOf(nic.sbdf)).toBe('igb');
    registry.disclaim(other.sbdf, 7);
    await host.hide(nic.sbdf, force);
  },
);

describe('a function that no guest could ever be given', () => {
  const cardBus = nic.config.slice();
  cardBus[0x0e] = 0x82;
  test.each([
    ['a host bridge', { classCode: 0x06_0000 }, 'vpci', 'BRIDGE'],
    ['a host bridge', { classCode: 0x06_0000 }, 'passthrough', 'BRIDGE'],
    ['a bridge', { classCode: 0x06_0100 }, 'vpci', 'BRIDGE'],
    ['a CardBus bridge', { classCode: 0x02_0000, config: cardBus }, 'passthrough', 'HEADER-TYPE'],
  ] as const)('%s: is not hidden, not even by force', async (_, changes, topology, reason) => {
    const { platform, registry, store } = await setting({ [nic.sbdf]: 'shpchp' });
    platform.factsOf = () => ({ ...nic, ...changes, driver: 'shpchp' });
    const parts = { platform, registry, xenstore: store, emit: () => undefined, topology };
    const host = new HostFunctions(parts, { functions: [nic], warnings: [] });
    for (const force of [false, true]) {
      await expect(host.hide(nic.sbdf, force)).rejects.toMatchObject({ reason });
    }
    expect(platform.takenFor).toEqual([]);
    expect(await store.read(driverPath(nic.sbdf))).toBeUndefined();
  });

  test('a bridge is hidden where guests see the buses of the host', async () => {
    const { platform, registry, store } = await setting({ [nic.sbdf]: 'pcieport' });
    platform.factsOf = () => ({ ...nic, classCode: 0x06_0400, driver: 'pcieport' });
    const parts = { platform, registry, xenstore: store, emit: () => undefined };
    const host = new HostFunctions({ ...parts, topology: 'passthrough' }, { functions: [nic], warnings: [] });
    await host.hide(nic.sbdf, false);
    expect(registry.get(nic.sbdf)).toBeDefined();
  });
});
