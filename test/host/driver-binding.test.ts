import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import {
  bindStub,
  changeStub,
  driverOf,
  formerBinding,
  requireStub,
  type StubDriver,
  stubChange,
  stubDriver,
  unbindStub,
} from '../../src/host/driver-binding.ts';
import { FakeHost } from './support/fake-host.ts';
import { captured } from './support/functions.ts';

const nic = { ...captured('8086:10d3'), driver: 'e1000e' };
const idle = { ...nic, driver: null };
const bdf = formatSbdf(nic.sbdf);
const taken = { formerDriver: 'e1000e', powerControl: 'auto', driverOverride: null };

function hostWith(stub: StubDriver, facts = nic as typeof nic | typeof idle): FakeHost {
  const host = new FakeHost(facts);
  host.load(stub, { knows: false });
  return host;
}

const failing = (reason: string, message = '') =>
  expect.objectContaining({ reason, message: expect.stringContaining(message) as string });

describe('the stub driver', () => {
  it('is that of the kernel’s back-end where it is loaded, because xl asks for it', () => {
    const host = hostWith('pci-stub');
    expect(stubDriver(host)).toBe('pci-stub');
    host.load('pciback');
    expect(stubDriver(host)).toBe('pciback');
  });

  it('is missed where there is none, and nothing is touched', async () => {
    const host = new FakeHost(nic);
    expect(() => stubDriver(host)).toThrow(failing('NO-STUB-DRIVER'));
    await expect(bindStub(host, nic)).rejects.toMatchObject({
      reason: 'NO-STUB-DRIVER',
      exitCode: 3,
      remedy: 'modprobe pci-stub',
    });
    expect(host.writes).toEqual([]);
  });
});

describe('the driver of a function', () => {
  it('is the one that has it now', async () => {
    const host = hostWith('pci-stub');
    expect(driverOf(host, nic.sbdf)).toBe('e1000e');
    await bindStub(host, nic);
    expect(driverOf(host, nic.sbdf)).toBe('pci-stub');
  });

  it('is none where none has it, and where there is no such function', () => {
    const host = hostWith('pci-stub', idle);
    expect(driverOf(host, idle.sbdf)).toBeNull();
    host.unplug();
    expect(driverOf(host, idle.sbdf)).toBeNull();
  });

  it.each(['pciback', 'pci-stub'] as const)(
    'may be %s where a guest is to get the function',
    async (stub) => {
      const host = hostWith(stub);
      await bindStub(host, nic);
      expect(() => requireStub(host, nic.sbdf)).not.toThrow();
    },
  );

  it.each([
    [nic, 'e1000e has it'],
    [idle, 'no driver has it'],
  ])('may not be another there, nor none', (facts, message) => {
    const host = hostWith('pci-stub', facts);
    expect(() => requireStub(host, facts.sbdf)).toThrow(failing('NOT-HIDDEN', message));
    expect(() => requireStub(host, facts.sbdf)).toThrow(
      expect.objectContaining({ remedy: `hide it again: pciback hide ${bdf}` }),
    );
  });
});

describe('taking a function', () => {
  it('reserves it before it is free, and enables it while no driver has it', async () => {
    const host = hostWith('pci-stub');
    expect(await formerBinding(host, nic)).toEqual(taken);
    expect(await bindStub(host, nic)).toEqual({ stub: 'pci-stub', ...taken });
    expect(host.writes).toEqual([
      'power/control=on',
      'driver_override=pci-stub',
      `driver/unbind=${bdf}`,
      'enable=1',
      `drivers_probe=${bdf}`,
    ]);
    expect(host.state).toMatchObject({ driver: 'pci-stub', enable: '1', power: 'on' });
  });

  it('leaves it to the kernel’s stub where that is loaded', async () => {
    const host = hostWith('pciback');
    expect(await bindStub(host, nic)).toEqual({ stub: 'pciback', ...taken });
    expect(host.state).toMatchObject({ driver: 'pciback', slots: `${bdf}\n` });
  });

  it('writes only what is not so already', async () => {
    const host = hostWith('pci-stub', idle);
    rmSync(join(host.directory, 'power'), { recursive: true });
    const former = { formerDriver: null, powerControl: null, driverOverride: null };
    expect(await bindStub(host, idle)).toEqual({ stub: 'pci-stub', ...former });
    expect(host.writes).toEqual(['driver_override=pci-stub', 'enable=1', `drivers_probe=${bdf}`]);
  });

  it.each(['pciback', 'pci-stub'] as const)('changes nothing when %s has been given it', async (stub) => {
    const host = hostWith(stub);
    await bindStub(host, nic);
    const { state } = host;
    host.load('pciback');
    host.load('pci-stub');
    host.writes.length = 0;
    const former = { formerDriver: null, powerControl: null, driverOverride: null };
    expect(await bindStub(host, nic)).toEqual({ stub, ...former });
    expect(host.writes).toEqual([]);
    expect(host.state).toMatchObject({ ...state, slots: expect.anything() as unknown });
  });

  it('has what pci-stub got from the command line of the kernel enabled', async () => {
    const host = hostWith('pci-stub', idle);
    host.give('pci-stub');
    expect(await bindStub(host, idle)).toMatchObject({ stub: 'pci-stub', formerDriver: null });
    expect(host.writes).toContain('enable=1');
    expect(host.state).toMatchObject({ driver: 'pci-stub', enable: '1' });
  });

  it('finds nothing where the address is not that of a function', async () => {
    const host = hostWith('pci-stub');
    host.unplug();
    await expect(bindStub(host, nic)).rejects.toThrow(failing('NO-SUCH-FUNCTION'));
  });

  it('says so when the function is unplugged meanwhile', async () => {
    const host = hostWith('pci-stub');
    host.afterWrite = (written) => {
      if (written.startsWith('driver/unbind')) host.unplug();
    };
    await expect(bindStub(host, nic)).rejects.toThrow(failing('NO-SUCH-FUNCTION'));
  });
});

describe('what fails is undone', () => {
  const settings = [
    ['pci-stub', nic],
    ['pciback', nic],
    ['pci-stub', idle],
  ] as const;

  it.each(settings)('at whichever write, with %s', async (stub, facts) => {
    const length = await writesOf((host) => bindStub(host, facts), stub, facts);
    for (let index = 0; index < length; index += 1) {
      for (const [code, reason] of Object.entries({ EIO: 'DRIVER-BINDING', EACCES: 'NO-PERMISSION' })) {
        const host = hostWith(stub, facts);
        const { state } = host;
        host.failures.set(index, code);
        await expect(bindStub(host, facts)).rejects.toThrow(failing(reason, `failed: ${code}`));
        expect(host.state).toEqual(state);
      }
    }
  });

  it('for a function of pci-stub too', async () => {
    for (const index of [0, 1, 2, 3, 4]) {
      const host = hostWith('pci-stub', idle);
      host.give('pci-stub');
      const { state } = host;
      host.failures.set(index, 'EIO');
      await expect(bindStub(host, idle)).rejects.toThrow(failing('DRIVER-BINDING', 'EIO'));
      expect(host.state).toEqual({ ...state, override: 'pci-stub' });
    }
  });

  it('when the stub declines', async () => {
    const host = hostWith('pci-stub');
    host.load('pci-stub', { refuses: 'ENOMEM' });
    const { state } = host;
    await expect(bindStub(host, nic)).rejects.toThrow(failing('DRIVER-BINDING', 'no driver has it'));
    expect(host.state).toEqual(state);
  });

  it('up to where another driver has got hold of it, so that it cannot be enabled', async () => {
    const host = hostWith('pci-stub');
    host.load('vfio-pci', { knows: false });
    host.afterWrite = (written) => {
      if (written.startsWith('driver/unbind')) host.give('vfio-pci');
    };
    await expect(bindStub(host, nic)).rejects.toThrow(failing('DRIVER-BINDING', 'enable failed: EBUSY'));
    expect(host.state).toMatchObject({ driver: 'vfio-pci', enable: '0', override: '(null)', power: 'auto' });
  });

  it('or else both failures are told', async () => {
    const host = hostWith('pci-stub');
    host.failures.set(3, 'EIO');
    host.afterWrite = (written) => {
      if (written.startsWith('driver/unbind')) host.load('e1000e', { refuses: 'ENOMEM' });
    };
    const rejected = await bindStub(host, nic).catch((error: unknown) => error);
    expect(rejected).toEqual(failing('DRIVER-BINDING', 'EIO; and it could not be put back'));
    expect(rejected).toEqual(failing('DRIVER-BINDING', 'e1000e did not take it back'));
    expect(host.state).toMatchObject({ driver: null, enable: '0', override: '(null)' });
  });
});

describe('giving a function back', () => {
  it.each(['pciback', 'pci-stub'] as const)('leaves nothing of %s', async (stub) => {
    const host = hostWith(stub);
    const { state } = host;
    const former = await bindStub(host, nic);
    await unbindStub(host, nic, former);
    expect(host.state).toEqual(state);
    const { length } = host.writes;
    await unbindStub(host, nic, former);
    expect(host.state).toEqual(state);
    expect(host.writes.slice(length)).toEqual(['driver_override=\n']);
  });

  it('leaves it to no driver when none had it', async () => {
    const host = hostWith('pci-stub', idle);
    const { state } = host;
    await unbindStub(host, idle, await bindStub(host, idle));
    expect(host.state).toEqual(state);
  });

  it('reserves it again for the driver that does not know it by its ids', async () => {
    const host = hostWith('pci-stub', idle);
    host.load('vfio-pci', { knows: false });
    await host.write(join(host.directory, 'driver_override'), 'vfio-pci');
    host.give('vfio-pci');
    const { state } = host;
    await unbindStub(host, idle, await bindStub(host, idle));
    expect(host.state).toEqual(state);
  });

  it('leaves it to whichever driver wants it when its own is gone', async () => {
    const host = hostWith('pci-stub');
    const former = await bindStub(host, nic);
    host.unload('e1000e');
    host.load('e1000e-next');
    await unbindStub(host, nic, former);
    expect(host.state).toMatchObject({ driver: 'e1000e-next', enable: '0' });
  });

  const absent = (host: FakeHost): void => host.unload('e1000e');
  const unwilling = (host: FakeHost): void => host.load('e1000e', { refuses: 'ENOMEM' });
  it.each([
    ['is gone', absent, ''],
    ['refuses', unwilling, 'ENOMEM'],
  ])('says how to do it by hand when the driver %s, and leaves it to none', async (_, spoil, why) => {
    const host = hostWith('pci-stub');
    const former = await bindStub(host, nic);
    spoil(host);
    const rejected = await unbindStub(host, nic, former).catch((error: unknown) => error);
    expect(rejected).toEqual(failing('NOT-RETURNED', 'e1000e did not take it back'));
    expect(rejected).toEqual(failing('NOT-RETURNED', why));
    expect(rejected).toMatchObject({
      remedy: expect.stringContaining(`echo ${bdf} > /sys/bus/pci/drivers/e1000e/bind`) as string,
    });
    expect(host.state).toMatchObject({ driver: null, enable: '0', override: '(null)', power: 'auto' });
  });

  it('does not take for returned what a stub has caught again', async () => {
    const host = hostWith('pci-stub');
    const former = await bindStub(host, nic);
    host.unload('e1000e');
    host.load('pci-stub', { knows: true });
    await expect(unbindStub(host, nic, former)).rejects.toThrow(failing('NOT-RETURNED'));
    expect(host.writes.at(-1)).toBe(`driver/unbind=${bdf}`);
    expect(host.driver).toBeNull();
  });

  it('says which file would not take what', async () => {
    const host = hostWith('pci-stub');
    const former = await bindStub(host, nic);
    host.failures.set(host.writes.length, 'EIO');
    await expect(unbindStub(host, nic, former)).rejects.toThrow(
      failing('DRIVER-BINDING', `writing '${bdf}' to ${host.directory}/driver/unbind failed: EIO`),
    );
  });
});

/** A process that is killed undoes nothing; the next one knows what the first has stored, and sees the rest. */
describe('after a process that was killed', () => {
  /** A host for each write at which who took its function was killed. */
  async function* killedWhileTaking(stub: StubDriver) {
    const binding = await writesOf((host) => bindStub(host, nic), stub, nic);
    for (let lifetime = 0; lifetime < binding; lifetime += 1) {
      const host = hostWith(stub);
      const { state } = host;
      const stored = await formerBinding(host, nic);
      host.lifetime = lifetime;
      await expect(bindStub(host, nic)).rejects.toThrow('killed');
      host.lifetime = Number.POSITIVE_INFINITY;
      yield { host, state, stored };
    }
  }

  it.each(['pciback', 'pci-stub'] as const)('between any two writes, with %s', async (stub) => {
    for await (const { host, state, stored } of killedWhileTaking(stub)) {
      expect(await bindStub(host, nic)).toMatchObject({ stub });
      expect(host.state).toMatchObject({ driver: stub, enable: '1', power: 'on' });
      await unbindStub(host, nic, stored);
      expect(host.state).toEqual(state);
    }
  });

  it.each(['pciback', 'pci-stub'] as const)('what was half taken is given back, with %s', async (stub) => {
    for await (const { host, state, stored } of killedWhileTaking(stub)) {
      await unbindStub(host, nic, stored);
      expect(host.state).toEqual(state);
    }
  });

  it.each(['pciback', 'pci-stub'] as const)('what was half given back too, with %s', async (stub) => {
    for (let lifetime = 0; ; lifetime += 1) {
      const host = hostWith(stub);
      const { state } = host;
      const former = await bindStub(host, nic);
      host.lifetime = lifetime;
      const killed = await unbindStub(host, nic, former).catch((error: unknown) => error);
      if (killed === undefined) {
        expect(lifetime).toBeGreaterThan(4);
        break;
      }

      host.lifetime = Number.POSITIVE_INFINITY;
      await unbindStub(host, nic, former);
      expect(host.state).toEqual(state);
    }
  });
});

async function writesOf(
  act: (host: FakeHost) => Promise<unknown>,
  stub: StubDriver,
  facts: typeof nic | typeof idle,
): Promise<number> {
  const host = hostWith(stub, facts);
  await act(host);
  return host.writes.length;
}

describe('moving a function to the stub that the toolstack looks for', () => {
  async function hiddenWithPciStub(): Promise<FakeHost> {
    const host = hostWith('pci-stub');
    await bindStub(host, nic);
    host.load('pciback');
    host.writes.length = 0;
    return host;
  }
  const change = { from: 'pci-stub', to: 'pciback' } as const;

  it('is needed when another stub has it, and that one is there', async () => {
    const host = hostWith('pci-stub');
    expect(stubChange(host, nic)).toBeNull();
    await bindStub(host, nic);
    expect(stubChange(host, nic)).toBeNull();
    host.load('pciback');
    expect(stubChange(host, nic)).toEqual(change);
    await changeStub(host, nic, change);
    expect(host.state).toMatchObject({ driver: 'pciback', enable: '1', override: 'pciback', power: 'on' });
    expect(stubChange(host, nic)).toBeNull();
  });

  it('leaves nothing of either when the function is given back', async () => {
    const host = hostWith('pci-stub');
    const { state } = host;
    const former = await bindStub(host, nic);
    host.load('pciback');
    await changeStub(host, nic, change);
    await unbindStub(host, nic, former);
    expect(host.state).toEqual({ ...state, slots: '' });
  });

  it('is undone at whichever write it fails: the first stub has it, enabled', async () => {
    const { length } = await hiddenWithPciStub().then(async (host) => {
      await changeStub(host, nic, change);
      return host.writes;
    });
    expect(length).toBeGreaterThan(2);
    for (let index = 0; index < length; index += 1) {
      const host = await hiddenWithPciStub();
      host.failures.set(index, 'EIO');
      await expect(changeStub(host, nic, change)).rejects.toThrow(failing('DRIVER-BINDING', 'EIO'));
      expect(host.state).toMatchObject({ driver: 'pci-stub', enable: '1', override: 'pci-stub', slots: '' });
    }
  });

  it('is undone when that stub declines', async () => {
    const host = await hiddenWithPciStub();
    host.load('pciback', { refuses: 'ENODEV' });
    await expect(changeStub(host, nic, change)).rejects.toThrow(failing('DRIVER-BINDING', 'did not take it'));
    expect(host.state).toMatchObject({ driver: 'pci-stub', enable: '1' });
  });
});
