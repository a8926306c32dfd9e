/** The handshake up to Connected, in every order in which the two ends may come. */
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../../src/xenbus/index.ts';
import { listing } from '../script.ts';
import { e1000e, nvme, rtl8139, xhci } from '../surroundings.ts';
import { found, notFound, scriptedGuests } from './scripted-guests.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed } = XenbusState;
const { host, begin } = await scriptedGuests();

describe('coming up', () => {
  test('exports what is listed, then says so', async () => {
    await using guest = await begin();
    await guest.create(e1000e);
    await guest.untilBack('state', Initialised);
    expect(await guest.all()).toMatchObject({
      'vdev-0': '0000:00:00.00',
      'state-0': '3',
      root_num: '1',
      'root-0': '0000:00',
      state: '3',
    });
    // libxl's own writes come first. What is written in one transaction appears at once, in whatever order it is announced.
    const [announced, vdev, state, ...roots] = guest.log.keys.slice(-6);
    expect([announced, vdev, state]).toEqual(['state', 'vdev-0', 'state-0']);
    expect(roots.toSorted()).toEqual(['root-0', 'root_num', 'state']);
    expect(roots.at(-1)).toBe('state');
  });

  test('connects to a front-end that waits for it', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10d3_8086 });
    expect(host.function(e1000e)).toEqual({ state: 'connected', owner: guest.domid });
  });

  test('connects to what a front-end publishes last, whenever that is', async () => {
    await using guest = await begin();
    await guest.create(e1000e);
    await guest.untilBack('state', Initialised);
    // Another page each time, as of a kernel that was started in the place of one that crashed; nobody sees it begin.
    for (let times = 0; times < 10; times += 1) {
      const publishing = guest.publish();
      if (times % 2 === 0) await guest.untilBack('state', Connected);
      await publishing;
    }
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10d3_8086 });
    await guest.untilBack('state', Connected);
    await guest.writeFront({ state: Connected });
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x10d3_8086 });
  });

  test('connects to a front-end that was there first', async () => {
    await using guest = await begin();
    await guest.createFrontend();
    await guest.publish();
    await guest.createBackend(e1000e);
    await guest.untilBack('state', Connected);
    expect(guest.log.keys.slice(-2)).toEqual(['state', 'state']);
    expect(await guest.read(0)).toMatchObject(found);
  });

  test('answers what a front-end has asked before anybody listened', async () => {
    await using guest = await begin();
    await guest.createFrontend();
    await guest.publish();
    const answer = guest.read(0);
    await guest.createBackend(nvme);
    expect(await answer).toEqual({ err: 0, value: 0x0010_1b36 });
  });

  test('waits for a directory that is written key by key', async () => {
    await using guest = await begin();
    await guest.createFrontend();
    await guest.writeBack({ frontend: 'soon' });
    await guest.writeBack({ 'frontend-id': guest.domid });
    await guest.writeBack({ online: 1 });
    await guest.writeBack({ state: 'soon' });
    await guest.writeBack({ state: Initialising });
    await guest.untilBack('state', InitWait);
    // The log hears of it on a connection of its own, perhaps later.
    await expect.poll(() => guest.log.keys.filter((key) => key === 'state')).toHaveLength(3);
    await guest.writeBack({ 'dev-0': '0000:41:00.0', 'state-0': Initialising });
    await guest.writeBack({ num_devs: 1 });
    await guest.untilBack('state', Initialised);
    expect(await guest.back('vdev-0')).toBe('0000:00:00.00');
  });

  test('picks up functions that are listed one by one', async () => {
    await using guest = await begin();
    await guest.create(e1000e);
    await guest.untilBack('state', Initialised);
    for (const [index, sbdf] of [nvme, xhci, rtl8139].entries()) {
      guest.log.clear();
      await guest.writeBack(listing(index + 1, sbdf));
      await guest.untilBack(`state-${index + 1}`, Initialised);
      expect(guest.log.keys.filter((key) => !(key in listing(index + 1, sbdf)))).toEqual([
        `vdev-${index + 1}`,
      ]);
    }
    expect(await guest.all()).toMatchObject({
      state: '3',
      root_num: '1',
      'vdev-1': '0000:00:01.00',
      'vdev-2': '0000:00:02.00',
      'vdev-3': '0000:00:03.00',
    });
    await guest.publish();
    await guest.untilBack('state', Connected);
  });

  test('gives back, without a handshake, what is to go before the front-end is up', async () => {
    await using guest = await begin();
    await guest.create(e1000e, nvme);
    await guest.untilBack('state', Initialised);
    guest.log.clear();
    await guest.writeBack({ 'state-0': Closing });
    await guest.untilBack('state-0', Closed);
    expect(host.function(e1000e)).toEqual({ state: 'hidden', owner: null });
    expect(guest.log.keys).toEqual(['state-0', 'state-0']);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toMatchObject(notFound);
    expect(await guest.read(1)).toMatchObject(found);
  });

  test('picks up functions that are listed as fast as they can be', async () => {
    await using guest = await begin();
    await guest.create(e1000e);
    await guest.writeBack(listing(1, nvme));
    await guest.writeBack(listing(2, xhci));
    await guest.publish();
    await guest.untilBack('state', Connected);
    for (const device of [0, 1, 2]) expect(await guest.read(device)).toMatchObject(found);
  });
});
