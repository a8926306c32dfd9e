/** The handshake down to Closed, and which functions are given back when. */
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../../src/xenbus/index.ts';
import { e1000e, nvme } from '../surroundings.ts';
import { scriptedGuests } from './scripted-guests.ts';

const { Initialising, Initialised, Connected, Closing, Closed } = XenbusState;
const { host, begin } = await scriptedGuests();

describe('closing', () => {
  test('follows the front-end, and keeps the functions for it', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.writeFront({ state: Closing });
    await guest.untilBack('state', Closing);
    expect(guest.ring.notify()).toBe(false);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    expect(host.function(e1000e)).toEqual({ state: 'bound', owner: guest.domid });
  });

  test('a front-end that starts over has its functions where they were', async () => {
    await using guest = await begin();
    await guest.connect(e1000e, nvme);
    for (let round = 0; round < 3; round += 1) {
      await guest.writeFront({ state: Closing });
      await guest.untilBack('state', Closing);
      await guest.writeFront({ state: Closed });
      await guest.untilBack('state', Closed);
      await guest.writeFront({ state: Initialising });
      await guest.untilBack('state', Initialised);
      await guest.publish();
      await guest.untilBack('state', Connected);
      await guest.writeFront({ state: Connected });
      expect(await guest.read(1)).toEqual({ err: 0, value: 0x0010_1b36 });
    }
  });

  test('a front-end that goes from Connected to Closed at once is followed there', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    guest.log.clear();
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    expect(guest.log.keys).toEqual(['state']);
  });

  test('once it is offline, the functions are reset and given back before it says Closed', async () => {
    await using guest = await begin();
    await guest.connect(e1000e, nvme);
    await guest.writeBack({ online: 0 });
    await guest.writeFront({ state: Closing });
    await guest.untilBack('state', Closing);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await host.untilHidden(e1000e, nvme);
  });

  test('a closed front-end that goes offline later loses its functions then', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    expect(host.function(e1000e)?.owner).toBe(guest.domid);
    await guest.writeBack({ online: 0 });
    await host.untilHidden(e1000e);
    expect(await guest.back('state')).toBe('6');
  });

  test('is begun by a toolstack that writes Closing into our directory', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.writeBack({ online: 0, state: Closing });
    await host.until('it to disconnect', ({ domid, to }) => domid === guest.domid && to === 'closing');
    expect(guest.ring.notify()).toBe(false);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await host.untilHidden(e1000e);
  });

  test.each([
    ['has not come up', {}],
    ['has no directory', null],
  ])('need not wait for a front-end that %s', async (_, front) => {
    await using guest = await begin();
    if (front) await guest.createFrontend();
    await guest.createBackend(e1000e);
    await guest.untilBack('state', Initialised);
    await guest.writeBack({ online: 0, state: Closing });
    await guest.untilBack('state', Closed);
    await host.untilHidden(e1000e);
  });

  test('a front-end whose directory is removed is gone', async () => {
    await using guest = await begin();
    await guest.connect(e1000e);
    await guest.removeFrontend();
    await guest.untilBack('state', Closed);
    await host.untilHidden(e1000e);
    await host.untilGone(guest.domid);
  });
});
