import { describe, expect, onTestFinished, test } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { ModelFault, openModel } from '../../src/host/index.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { nic, other, setting } from './played-host.ts';

/** Events of one type, about the first function. */
const told = (events: readonly BackendEvent[], type: BackendEvent['type']): readonly BackendEvent[] =>
  events.filter((event) => event.type === type && event.subject === formatSbdf(nic.sbdf));

describe('a hidden function that other hands take from its stub', () => {
  async function hidden() {
    const made = await setting({ [nic.sbdf]: 'e1000e' });
    await made.host.hide(nic.sbdf, false);
    return made;
  }

  test.each([
    ['e1000e', 'e1000e', 'was taken from its stub: e1000e has it'],
    ['vfio-pci', 'vfio-pci', 'was taken from its stub: vfio-pci has it'],
    [null, 'no driver', 'was taken from its stub: no driver has it'],
  ])('and give to %s is hidden no more, which is told once', async (driver, to, problem) => {
    const { platform, registry, host, events } = await hidden();
    host.look();
    expect(told(events, 'function.taken')).toEqual([]);
    platform.drivers.set(nic.sbdf, driver);
    host.look();
    host.look();
    expect(registry.get(nic.sbdf)).toBeUndefined();
    expect(told(events, 'function.taken')).toMatchObject([
      {
        from: 'hidden',
        to,
        cause: 'host',
        reason: 'NOT-HIDDEN',
        message: `${formatSbdf(nic.sbdf)} ${problem}`,
        remedy: `hide it again: pciback hide ${formatSbdf(nic.sbdf)}`,
      },
    ]);
    expect(told(events, 'function.unhidden')).toHaveLength(1);
  });

  test.each([
    ['nothing', null],
    ['8086:1533', { vendor: 0x8086, device: 0x1533 }],
  ])('or whose place has %s now is hidden no more, whatever stub has that', async (to, found) => {
    const { platform, registry, host, events } = await hidden();
    platform.replaced.set(nic.sbdf, found);
    expect(() => host.requireHeld(nic.sbdf)).toThrow(expect.objectContaining({ reason: 'NOT-HIDDEN' }));
    expect(registry.get(nic.sbdf)).toBeUndefined();
    expect(told(events, 'function.taken')).toMatchObject([{ to }]);
    // Nothing of it is given back: another device is none of ours.
    await expect(host.unhide(nic.sbdf, false)).rejects.toMatchObject({ reason: 'NOT-HIDDEN' });
    expect(platform.returned).toEqual([]);
  });

  test('is refused before each use, and hidden again only when the host can do without it', async () => {
    const { platform, registry, host } = await hidden();
    expect(() => host.requireHeld(nic.sbdf)).not.toThrow();
    platform.drivers.set(nic.sbdf, 'e1000e');
    expect(() => host.requireHeld(nic.sbdf)).toThrow(
      expect.objectContaining({
        reason: 'NOT-HIDDEN',
        message: `${formatSbdf(nic.sbdf)} was taken from its stub: e1000e has it`,
      }),
    );
    const take = platform.takeFromHost.bind(platform);
    platform.takeFromHost = () => Promise.reject(new PcibackError('HOST-USES-IT', 'eth0 is up', 'ip link'));
    await expect(host.hide(nic.sbdf, false)).rejects.toMatchObject({ reason: 'HOST-USES-IT' });
    platform.takeFromHost = take;
    expect(await host.hide(nic.sbdf, false)).toEqual({ state: 'hidden', already: false, moved: null });
    expect(registry.get(nic.sbdf)).toBeDefined();
    expect(() => host.requireHeld(nic.sbdf)).not.toThrow();
  });

  test('while a guest has it stays its, which is told once for each taker', async () => {
    const { platform, registry, host, events } = await hidden();
    registry.claim(nic.sbdf, 7);
    for (const driver of ['e1000e', 'e1000e', 'pciback', 'e1000e', 'vfio-pci']) {
      platform.drivers.set(nic.sbdf, driver);
      host.look();
    }
    expect(told(events, 'function.taken')).toMatchObject([
      { domid: 7, to: 'e1000e', remedy: expect.stringContaining('pciback detach 7 ') as string },
      { domid: 7, to: 'e1000e' },
      { domid: 7, to: 'vfio-pci' },
    ]);
    expect(host.problemOf(nic.sbdf)).toBe('was taken from its stub: vfio-pci has it');
    expect(registry.ownerOf(nic.sbdf)).toBe(7);
    expect(() => host.requireHeld(nic.sbdf)).toThrow(expect.objectContaining({ reason: 'NOT-HIDDEN' }));
    registry.disclaim(nic.sbdf, 7);
    host.look();
    expect(registry.get(nic.sbdf)).toBeUndefined();
  });

  test.each([true, false])(
    'is the host’s already when it is given back; looked at before: %s',
    async (looked) => {
      const { platform, registry, host } = await hidden();
      platform.drivers.set(nic.sbdf, 'e1000e');
      if (looked) host.look();
      expect(await host.unhide(nic.sbdf, false)).toEqual({ takenBy: 'e1000e' });
      // What hiding has changed of it is put back all the same.
      expect(platform.returned).toHaveLength(1);
      expect(registry.get(nic.sbdf)).toBeUndefined();
      await expect(host.unhide(nic.sbdf, false)).rejects.toMatchObject({ reason: 'NOT-HIDDEN' });
    },
  );

  test('is nobody’s doing while it is given back in good order', async () => {
    const { platform, host, events } = await hidden();
    const giveBack = platform.returnToHost.bind(platform);
    platform.returnToHost = async (taken) => {
      await giveBack(taken);
      host.look();
    };
    expect(await host.unhide(nic.sbdf, false)).toEqual({ takenBy: null });
    expect(told(events, 'function.taken')).toEqual([]);
    expect(told(events, 'function.unhidden')).toHaveLength(1);
  });
});

test('a hidden function that does not answer is given to nobody', async () => {
  const { platform, registry, host } = await setting({ [nic.sbdf]: 'e1000e' });
  await host.hide(nic.sbdf, false);
  const hardware = openModel(platform.directory, nic.sbdf);
  onTestFinished(() => hardware.close());
  hardware.faults = ModelFault.absent;
  expect(() => host.requireHeld(nic.sbdf)).toThrow(expect.objectContaining({ reason: 'NOT-ANSWERING' }));
  expect(registry.get(nic.sbdf)).toBeDefined();
});

describe('a function hidden with a stub where the toolstack does not look', () => {
  async function hiddenElsewhere() {
    const made = await setting({ [nic.sbdf]: 'pci-stub' });
    await made.host.hide(nic.sbdf, false);
    made.platform.hasKernelStub = true;
    return made;
  }

  test('is moved when it is hidden again, and has its registers as they were', async () => {
    const { platform, registry, host, events } = await hiddenElsewhere();
    const before = registry.get(nic.sbdf)?.seized.config[0x0c];
    expect(await host.hide(nic.sbdf, false)).toEqual({
      state: 'hidden',
      already: true,
      moved: { from: 'pci-stub', to: 'pciback' },
    });
    expect(platform.driverOf(nic.sbdf)).toBe('pciback');
    expect(openModel(platform.directory, nic.sbdf).read(0x0c, 1)).toBe(before);
    expect(told(events, 'function.moved')).toMatchObject([{ from: 'pci-stub', to: 'pciback' }]);
    expect(told(events, 'function.taken')).toEqual([]);
    expect(await host.hide(nic.sbdf, false)).toMatchObject({ already: true, moved: null });
  });

  test('is moved when the daemon comes up, and what keeps one from that keeps no other from it', async () => {
    const { platform, host, events } = await hiddenElsewhere();
    platform.drivers.set(other.sbdf, 'pci-stub');
    platform.hasKernelStub = false;
    await host.hide(other.sbdf, false);
    platform.hasKernelStub = true;
    const change = platform.changeStub.bind(platform);
    platform.changeStub = async (facts) => {
      if (facts?.sbdf === nic.sbdf)
        throw new PcibackError('DRIVER-BINDING', 'pciback did not take it', 'dmesg');
      return change(facts);
    };
    await host.settleStubs();
    expect(platform.driverOf(other.sbdf)).toBe('pciback');
    expect(told(events, 'warning')).toMatchObject([{ reason: 'DRIVER-BINDING' }]);
    expect(platform.driverOf(nic.sbdf)).toBe('pci-stub');
  });

  test('stays where it is while a guest has it', async () => {
    const { platform, registry, host } = await hiddenElsewhere();
    registry.claim(nic.sbdf, 7);
    expect(await host.hide(nic.sbdf, false)).toMatchObject({ already: true, moved: null });
    await host.settleStubs();
    expect(platform.driverOf(nic.sbdf)).toBe('pci-stub');
  });
});
