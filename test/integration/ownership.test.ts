/** Who has a function, and in what condition the next one gets it. */
import { defaultPciOptions, attach } from 'pciback/toolstack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Header } from '../../src/config-space/bits.ts';
import { ModelFault } from '../../src/host/index.ts';
import { Command } from '../../src/ring/layout.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { Host } from './host.ts';
import { Script, listing } from './script.ts';
import { e1000e, igb, nvme, rtl8139, xhci } from './surroundings.ts';

const { InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } = XenbusState;

let host: Host;
beforeAll(async () => {
  host = await Host.start([e1000e, nvme, xhci, rtl8139, igb], { workers: 2 });
});
afterAll(() => host[Symbol.asyncDispose]());

let lastDomid = 0;
const begin = (): Promise<Script> => Script.begin(host, ++lastDomid);

describe('one function, two guests', () => {
  test('a toolstack that looks at claims turns the second one down, and the first one notices nothing', async () => {
    await using first = await begin();
    await using second = await begin();
    await first.connect(nvme);
    await host.xenstore.write('/libxl/pci/0000-42-00-0/domid', String(first.domid));
    await expect(host.attach(second.domid, nvme)).rejects.toMatchObject({ reason: 'FUNCTION-IN-USE' });
    expect(await second.all()).toEqual({});
    expect(await first.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    await host.xenstore.rm('/libxl/pci/0000-42-00-0/domid');
  });

  test('past the claims, the second one waits for the first to give it back', async () => {
    const untouched = host.hardware(nvme).read(Header.command, 2);
    await using second = await begin();
    {
      await using first = await begin();
      await first.connect(nvme);
      await first.write(0, Header.command, 2, 0x0406);
      await second.create(nvme);
      await second.untilBack('state', InitWait);
      await host.untilStatus(
        'it to wait',
        () => host.guest(second.domid)?.waitingFor?.includes('42:00.0') ?? false,
      );
      expect(await first.read(0, Header.command, 2)).toEqual({ err: 0, value: 0x0406 });
      expect(host.function(nvme)).toEqual({ state: 'connected', owner: first.domid });
    }
    await second.untilBack('state', Initialised);
    expect(host.function(nvme)).toEqual({ state: 'bound', owner: second.domid });
    await second.publish();
    await second.untilBack('state', Connected);
    expect(await second.read(0, Header.command, 2)).toEqual({ err: 0, value: untouched });
  });

  test('into a running guest: it waits for the hand-over and goes on serving', async () => {
    await using taker = await begin();
    await taker.connect(xhci);
    {
      await using giver = await begin();
      await giver.connect(nvme);
      await taker.writeBack({ ...listing(1, nvme), state: Reconfiguring });
      await taker.writeFront({ state: Reconfiguring });
      await host.untilStatus('it to wait', () => host.guest(taker.domid)?.waitingFor !== null);
      expect(await taker.read(0)).toEqual({ err: 0, value: 0x000d_1b36 });
      expect(await giver.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
    }
    await taker.untilBack('state', Reconfigured);
    await taker.writeFront({ state: Connected });
    await taker.untilBack('state', Connected);
    expect(await taker.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
  });
});

describe('a function whose reset fails', () => {
  /** Has a guest, and then fails to be reset. */
  async function quarantine(): Promise<void> {
    const hardware = host.hardware(nvme);
    await using guest = await begin();
    await guest.connect(nvme);
    hardware.faults = ModelFault.resetFails;
    await guest.writeBack({ online: 0 });
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await host.untilGone(guest.domid);
  }

  test('is exported to nobody, and a reset that succeeds is the way out', async () => {
    await quarantine();
    expect(host.function(nvme)).toEqual({ state: 'quarantined', owner: null });
    await host.until(
      'it to be told',
      ({ type, reason }) => type === 'reset.failed' && reason === 'RESET-FAILED',
    );

    await using refused = await begin();
    expect(await host.attach(refused.domid, nvme)).toMatchObject({
      outcome: 'refused',
      by: 'back-end',
      why: expect.stringContaining('quarantined') as string,
    });
    await expect(host.backend.reset(nvme)).rejects.toMatchObject({ reason: 'RESET-FAILED' });
    expect(host.function(nvme)?.state).toBe('quarantined');

    host.hardware(nvme).faults = ModelFault.none;
    expect(await host.backend.reset(nvme)).toMatchObject({ method: 'flr' });
    expect(host.function(nvme)).toEqual({ state: 'hidden', owner: null });
    await using guest = await begin();
    await guest.connect(nvme);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x0010_1b36 });
  });

  test('cannot be given to a running guest, which goes on', async () => {
    await quarantine();
    await using guest = await begin();
    await guest.connect(xhci);
    await guest.reconfigure(listing(1, nvme));
    expect(await guest.back('state-1')).toBe('6');
    expect(await guest.error()).toContain('quarantined');
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x000d_1b36 });
    host.hardware(nvme).faults = ModelFault.none;
    await host.backend.reset(nvme);
  });

  test('does not keep the guest it is taken from', async () => {
    await using guest = await begin();
    await guest.connect(nvme, xhci);
    host.hardware(nvme).faults = ModelFault.absent;
    await guest.reconfigure({ 'state-0': Closing });
    expect(host.function(nvme)).toEqual({ state: 'quarantined', owner: null });
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x000d_1b36 });
    host.hardware(nvme).faults = ModelFault.none;
    await host.backend.reset(nvme);
  });

  test('is not reset by hand while a guest has it', async () => {
    await using guest = await begin();
    await guest.connect(nvme);
    await expect(host.backend.reset(nvme)).rejects.toMatchObject({ reason: 'FUNCTION-IN-USE' });
    expect(await guest.read(0)).toMatchObject({ err: 0 });
  });
});

describe('the next guest', () => {
  /** A register of nobody's in the middle of a space without capabilities. */
  const unknownRegister = 0x60;

  test('sees nothing of what the last one wrote, nor of what it was allowed', async () => {
    const hardware = host.hardware(rtl8139);
    const untouched = hardware.read(Header.command, 2);
    {
      await using guest = await begin();
      const options = { ...defaultPciOptions, permissive: true };
      await Promise.all([
        attach(host.xenstore, guest.domid, [{ sbdf: rtl8139, devfn: 0, options }]),
        guest.untilBack('state', Initialised),
      ]);
      await guest.publish();
      await guest.untilBack('state', Connected);
      await guest.write(0, Header.command, 2, 0x0547);
      await guest.write(0, unknownRegister, 4, 0x1234_5678);
      await guest.write(0, 0x10, 4, 0xffff_ffff);
      expect(await guest.read(0, Header.command, 2)).toMatchObject({ value: 0x0547 });
      expect(await guest.read(0, unknownRegister)).toMatchObject({ value: 0x1234_5678 });
    }
    await host.untilHidden(rtl8139);
    await using guest = await begin();
    await guest.connect(rtl8139);
    expect(await guest.read(0, Header.command, 2)).toEqual({ err: 0, value: untouched });
    expect(await guest.read(0, unknownRegister)).toMatchObject({ value: 0 });
    expect(await guest.read(0, 0x10)).not.toMatchObject({ value: 0xffff_ff01 });
    expect(await guest.write(0, unknownRegister, 4, 0x1234_5678)).toMatchObject({ err: 0 });
    expect(await guest.read(0, unknownRegister)).toMatchObject({ value: 0 });
    expect(hardware.read(unknownRegister, 4)).toBe(0);
  });

  test('finds interrupts off, and its own vectors', async () => {
    for (let life = 0; life < 2; life += 1) {
      await using guest = await begin();
      await guest.connect(igb);
      await guest.write(0, Header.command, 2, 0x0007);
      const granted = await guest.request({ cmd: Command.enableMsi });
      expect(granted).toMatchObject({ err: 0 });
      expect(host.hardware(igb).read(0x52, 2) & 1).toBe(1);
    }
    await host.untilHidden(igb);
    expect(host.hardware(igb).read(0x52, 2) & 1).toBe(0);
    expect(host.hardware(igb).read(Header.command, 2) & 4).toBe(0);
  });
});

describe('a reset that the guest asks for', () => {
  const deviceControl = 0xa8;
  const initiateReset = 0x8000;

  test('is run for it: ones meanwhile, everything as it was afterwards, and nobody else waits', async () => {
    await using guest = await begin();
    await using neighbour = await begin();
    await guest.connect(igb, nvme);
    await neighbour.connect(xhci);
    await guest.write(0, Header.command, 2, 0x0406);
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: 0 });
    const before = host.hardware(igb).resets;

    const control = (await guest.read(0, deviceControl, 2)).value;
    expect(await guest.write(0, deviceControl, 2, control | initiateReset)).toMatchObject({ err: 0 });
    expect(await guest.read(0)).toEqual({ err: 0, value: 0xffff_ffff });
    expect(await guest.write(0, Header.command, 2, 0)).toMatchObject({ err: 0 });
    expect(await guest.request({ cmd: Command.enableMsi })).toMatchObject({ err: -5 });
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
    expect(await neighbour.read(0)).toEqual({ err: 0, value: 0x000d_1b36 });
    expect(host.function(igb)?.state).toBe('connected.flr');

    await host.until(
      'the reset to be done',
      ({ type, domid, data }) =>
        type === 'reset.completed' && domid === guest.domid && data?.['byGuest'] === true,
    );
    expect(host.hardware(igb).resets).toBe(before + 1);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10c9_8086 });
    expect(await guest.read(0, Header.command, 2)).toMatchObject({ value: 0x0406 });
    expect(await guest.read(0, deviceControl, 2)).toMatchObject({ value: control });
    expect(host.hardware(igb).read(0x52, 2) & 1).toBe(1);
  });

  test('that fails leaves ones, until the function is taken back', async () => {
    {
      await using guest = await begin();
      await guest.connect(igb, nvme);
      host.hardware(igb).faults = ModelFault.resetFails;
      await guest.write(0, deviceControl, 2, initiateReset);
      await host.untilStatus('it to be dead', () => host.function(igb)?.state === 'connected.dead');
      expect(await guest.read(0)).toEqual({ err: 0, value: 0xffff_ffff });
      expect(await guest.read(1)).toMatchObject({ err: 0, value: 0x0010_1b36 });
    }
    expect(host.function(igb)).toEqual({ state: 'quarantined', owner: null });
    host.hardware(igb).faults = ModelFault.none;
    await host.backend.reset(igb);
    expect(host.function(igb)?.state).toBe('hidden');
  });

  test('and a removal in the middle of it', async () => {
    await using guest = await begin();
    await guest.connect(igb, nvme);
    await guest.write(0, deviceControl, 2, initiateReset);
    await guest.reconfigure({ 'state-0': Closing });
    expect(host.function(igb)).toEqual({ state: 'hidden', owner: null });
    expect(await guest.read(0)).toMatchObject({ err: -1 });
    expect(await guest.read(1)).toMatchObject({ err: 0 });
  });
});
