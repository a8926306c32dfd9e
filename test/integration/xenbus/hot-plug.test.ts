/** Functions that come to a running guest, and functions that go. */
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../../src/xenbus/index.ts';
import { listing } from '../script.ts';
import { at, e1000e, nvme, rtl8139, xhci } from '../surroundings.ts';
import { found, notFound, scriptedGuests } from './scripted-guests.ts';

const { Initialised, Connected, Closing, Reconfiguring, Reconfigured } = XenbusState;
const { host, begin } = await scriptedGuests();

describe('hot-plug', () => {
  test('adds what the toolstack lists when the front-end follows', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    expect(await guest.read(1)).toMatchObject(notFound);
    guest.log.clear();
    await guest.writeBack({ ...listing(1, nvme), state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await guest.untilBack('state', Reconfigured);
    expect(guest.log.keys.slice(-3)).toEqual(['vdev-1', 'state-1', 'state']);
    expect(await guest.all()).toMatchObject({ 'vdev-1': '0000:00:01.00', 'state-1': '3' });
    expect(await guest.read(1)).toMatchObject(found);
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
  });

  test('does nothing until the front-end follows', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.writeBack({ ...listing(1, nvme), state: Reconfiguring });
    // The front-end has something else to say first.
    await guest.writeFront({ state: Connected, 'pci-op-ref': 1 });
    await guest.writeBack({ 'name-1': 'disk' });
    await guest.writeFront({ state: Reconfiguring });
    await guest.untilBack('state', Reconfigured);
    expect(guest.log.keys.slice(-4)).toEqual(['name-1', 'vdev-1', 'state-1', 'state']);
  });

  test('takes back what the toolstack marks, resets it, and leaves the keys to the toolstack', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    const hardware = host.hardware(e1000e);
    const resets = hardware.resets;
    guest.log.clear();
    await guest.writeBack({ 'state-0': Closing, state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await guest.untilBack('state', Reconfigured);
    expect(hardware.resets).toBe(resets + 1);
    expect(host.function(e1000e)).toEqual({ state: 'hidden', owner: null });
    expect(guest.log.keys).toEqual(['state-0', 'state', 'state']);
    expect(await guest.all()).toMatchObject({ 'state-0': '5', 'vdev-0': '0000:00:00.00' });
    expect(await guest.read(0)).toMatchObject(notFound);
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
    expect(await guest.back('state-0')).toBe('5');
  });

  test.each([
    ['of a function that the guest does not have', { 'dev-0': '0000:42:00.0', 'state-0': Closing }],
    ['of a function that no host has', { 'dev-0': '0000:99:00.0', 'state-0': Closing }],
    ['of an entry without an address', { 'dev-0': 'gone', 'state-0': Closing }],
    [
      'with an address on the bus that leads nowhere',
      { 'vdev-0': '0000:00:1f.07', 'dev-1': '', num_devs: 2, 'state-1': Closing },
    ],
  ])('a removal %s ends all the same', async (_, keys) => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.reconfigure(keys);
    await host.until('a warning', ({ domid, reason }) => domid === guest.domid && reason === 'NOT-ATTACHED');
    expect(host.function(e1000e)?.owner).toBe(guest.domid);
  });

  test('an addition that cannot be made is turned down, and the guest goes on', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.writeBack({ ...listing(1, at('0000:45:00.0')), ...listing(2, nvme), state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await guest.untilBack('state', Reconfigured);
    expect(await guest.all()).toMatchObject({ 'state-1': '6', 'state-2': '3', 'vdev-2': '0000:00:01.00' });
    expect(await guest.back('vdev-1')).toBeUndefined();
    expect(await guest.error()).toMatch(/^22 /);
    await guest.writeFront({ state: Connected });
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toMatchObject(found);
  });

  test('indices that move down after a removal mislead nobody', async () => {
    await using guest = await begin();
    await guest.connect(e1000e, nvme, xhci);
    await guest.reconfigure({ 'state-1': Closing });
    // libxl's clean-up: what was number 2 is number 1 now.
    await guest.writeBack({ ...listing(1, xhci, Initialised), 'vdev-1': '0000:00:02.00' });
    for (const key of ['key-2', 'dev-2', 'opts-2', 'state-2', 'vdev-2']) {
      await host.xenstore.rm(`/local/domain/0/backend/pci/${guest.domid}/0/${key}`);
    }
    await guest.reconfigure({ 'state-1': Closing });
    expect(host.function(xhci)?.owner).toBeNull();
    expect(await guest.read(0)).toMatchObject(found);
    expect(await guest.read(2)).toMatchObject(notFound);
    await guest.reconfigure(listing(1, rtl8139));
    expect(await guest.back('vdev-1')).toBe('0000:00:01.00');
    expect(await guest.read(1)).toEqual({ err: 0, value: 0x8139_10ec });
  });
});
