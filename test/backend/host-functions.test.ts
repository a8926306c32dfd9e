import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import { HostFunctions } from '../../src/backend/host-functions.ts';
import { Registry } from '../../src/backend/registry.ts';
import { CapabilityId, Msix } from '../../src/config-space/bits.ts';
import { findCapability } from '../../src/config-space/capabilities.ts';
import { PcibackError } from '../../src/errors.ts';
import { type FunctionFacts, LoopbackPlatform, ModelFault, openModel } from '../../src/host/index.ts';
import type { Taken } from '../../src/host/platform.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { claimPath, driverPath } from '../../src/xenbus/index.ts';
import { captured, sbdf } from '../host/support/functions.ts';
import { Loopback } from '../toolstack/loopback.ts';

const nic: FunctionFacts = { ...captured('8086:10d3'), resetMethods: ['flr'] };
const other: FunctionFacts = { ...nic, sbdf: sbdf('0000:7f:00.0') };
/** One without a way to reset it. */
const stuck: FunctionFacts = { ...nic, sbdf: sbdf('0000:7f:01.0'), resetMethods: [] };
const msixControl = (findCapability(nic.config, CapabilityId.msix) ?? expect.unreachable()) + Msix.control;
const former = { formerDriver: null, powerControl: null };

/** A host with two real functions, whose drivers the test plays: models stand in for their registers. */
class PlayedHost extends LoopbackPlatform {
  override readonly kind = 'xen';
  readonly directory: string;
  readonly drivers = new Map<number, string | null>();
  readonly takenFor: (number | undefined)[] = [];
  readonly returned: Taken[] = [];

  constructor(directory: string) {
    super(directory);
    this.directory = directory;
  }

  override factsOf(at = nic.sbdf): FunctionFacts | null {
    const facts = [nic, other, stuck].find((each) => each.sbdf === at);
    return facts ? { ...facts, driver: this.drivers.get(at) ?? null } : null;
  }

  override driverOf(at = nic.sbdf): string | null {
    return this.drivers.get(at) ?? null;
  }

  override async takeFromHost(facts: FunctionFacts, _force?: boolean, guest?: number): Promise<Taken> {
    await super.takeFromHost(facts);
    this.takenFor.push(guest);
    const driver = this.drivers.get(facts.sbdf) ?? null;
    const isStub = driver === 'pciback' || driver === 'pci-stub';
    if (!isStub) this.drivers.set(facts.sbdf, 'pciback');
    const formerDriver = isStub ? null : driver;
    return {
      facts: { ...facts, driver: formerDriver },
      former: { ...former, formerDriver },
      wasDriven: true,
    };
  }

  override async returnToHost(taken?: Taken): Promise<void> {
    if (!taken) return;
    this.returned.push(taken);
    if (taken.former) this.drivers.set(taken.facts.sbdf, taken.former.formerDriver);
  }
}

async function setting(drivers: Readonly<Record<number, string>>) {
  const { directory, store } = await Loopback.start();
  const platform = new PlayedHost(directory);
  onTestFinished(() => platform.close());
  for (const [at, driver] of Object.entries(drivers)) platform.drivers.set(Number(at), driver);
  const registry = new Registry(join(directory, 'state/function'), () => {});
  const events: BackendEvent[] = [];
  const parts = { platform, registry, xenstore: store, emit: (event: BackendEvent) => events.push(event) };
  const host = new HostFunctions(parts, { functions: [nic, other], warnings: [] });
  return { platform, registry, store, host, events };
}

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
