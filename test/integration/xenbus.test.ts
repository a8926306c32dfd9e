/** Handshakes in every order, and with everything that can go wrong, between the real back-end and two scripted ends. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { XenbusState } from '../../src/xenbus/index.ts';
import { Host } from './host.ts';
import { Script, listing } from './script.ts';
import { ac97, at, e1000e, igb, nvme, rtl8139, xhci } from './surroundings.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

let host: Host;
beforeAll(async () => {
  host = await Host.start([e1000e, nvme, xhci, rtl8139, ac97, igb]);
});
afterAll(() => host[Symbol.asyncDispose]());

let lastDomid = 0;
const begin = (): Promise<Script> => Script.begin(host, ++lastDomid);

const found = { err: 0 };
const notFound = { err: -1 };

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
    expect(guest.log.keys.filter((key) => key === 'state')).toHaveLength(3);
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

describe('a directory that cannot be used', () => {
  test.each([
    ['dev-0 missing', { 'dev-0': null }, /^2 .*dev-0 .*missing/],
    ['dev-0 no address', { 'dev-0': '41:0.0.0' }, /^2 .*dev-0/],
    ['a function that does not exist', { 'dev-0': '0000:99:00.0' }, /^22 0000:99:00\.0 .*not been taken/],
    ['a function that was not hidden', { 'dev-0': '0000:45:00.0' }, /^22 0000:45:00\.0 .*not been taken/],
    ['an enormous address', { 'dev-0': 'f'.repeat(3000) }, /^2 .{0,300}$/],
    ['fewer functions than counted', { num_devs: 3 }, /^2 .*dev-1/],
    ['more functions than a bus can have', { num_devs: 257 }, /^2 .*num_devs/],
    ['a number of functions that is none', { num_devs: '-1' }, /^2 .*num_devs/],
    ['an enormous number of functions', { num_devs: '9'.repeat(4000) }, /^2 .{0,300}$/],
  ] as const)('%s', async (_, wrong, error) => {
    await using guest = await begin();
    await guest.createFrontend();
    const keys = { frontend: 'x', online: 1, ...listing(0, nvme), ...wrong, state: Initialising };
    const written = Object.entries(keys).filter(([, value]) => value !== null) as [string, string][];
    await guest.writeBack(Object.fromEntries(written));
    await guest.untilBack('state', Closing);
    expect(await guest.error()).toMatch(error);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
  });

  test('as soon as it is mended, a front-end that starts over is served', async () => {
    await using guest = await begin();
    await guest.create(at('0000:45:00.1'));
    await guest.untilBack('state', Closing);
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    await guest.writeBack(listing(0, nvme));
    await guest.writeFront({ state: Initialising });
    await guest.untilBack('state', Initialised);
    await guest.publish();
    expect(await guest.read(0)).toMatchObject(found);
  });
});

describe('a front-end that cannot be served', () => {
  test.each([
    ['another magic', { magic: 6 }, /^14 .*"6"/],
    ['an enormous magic', { magic: '7'.repeat(4000) }, /^14 .{0,200}$/],
    ['no grant of that number', { 'pci-op-ref': 4242 }, /^22 .*map the page/],
    ['no port of that number', { 'event-channel': 4242 }, /^22 .*bind the event channel/],
    ['a grant that is no number', { 'pci-op-ref': '../1' }, /^2 .*decimal/],
    ['an enormous port', { 'event-channel': '1'.repeat(4000) }, /^2 .{0,300}$/],
    ['a grant beyond 32 bits', { 'pci-op-ref': 4_294_967_296 }, /^2 .*decimal/],
    ['a port with a sign', { 'event-channel': '+5' }, /^2 .*decimal/],
  ])('%s', async (_, wrong, error) => {
    await using guest = await begin();
    await guest.create(nvme);
    await guest.publish(wrong);
    await guest.untilBack('state', Closing);
    expect(await guest.error()).toMatch(error);
    // The function stays with the guest, which may try again.
    await guest.writeFront({ state: Closed });
    await guest.untilBack('state', Closed);
    expect(host.function(nvme)).toEqual({ state: 'bound', owner: guest.domid });
    await guest.writeFront({ state: Initialising });
    await guest.untilBack('state', Initialised);
    await guest.publish();
    expect(await guest.read(0)).toMatchObject(found);
  });

  test('magic missing', async () => {
    await using guest = await begin();
    await guest.create(nvme);
    await guest.writeFront({ 'pci-op-ref': 8, 'event-channel': 2, state: Initialised });
    await guest.untilBack('state', Closing);
    expect(await guest.error()).toMatch(/^2 .*magic/);
  });

  test('all keys missing', async () => {
    await using guest = await begin();
    await guest.create(nvme);
    await guest.writeFront({ state: Initialised });
    await guest.untilBack('state', Closing);
    expect(await guest.error()).toMatch(/^2 .*pci-op-ref, event-channel, magic/);
  });
});

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

describe('a back-end directory that is removed', () => {
  /** Where the removal finds us, and how we got there. */
  const moments: readonly (readonly [string, (guest: Script) => Promise<void>])[] = [
    [
      'Initialised',
      async (guest) => {
        await guest.create(e1000e);
        await guest.untilBack('state', Initialised);
      },
    ],
    ['Connected', (guest) => guest.connect(e1000e)],
    [
      'Reconfigured',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeBack({ ...listing(1, nvme), state: Reconfiguring });
        await guest.writeFront({ state: Reconfiguring });
        await guest.untilBack('state', Reconfigured);
      },
    ],
    [
      'Closing',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeFront({ state: Closing });
        await guest.untilBack('state', Closing);
      },
    ],
    [
      'Closed',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeFront({ state: Closed });
        await guest.untilBack('state', Closed);
      },
    ],
    // No moment to be sure of: whatever it is doing, it has to come to an end.
    ['being written', (guest) => guest.create(e1000e, nvme, xhci)],
  ];

  test.each(moments)(
    'while it is %s: everything is given back, and nothing is made anew',
    async (_, reach) => {
      await using guest = await begin();
      await reach(guest);
      await guest.removeBackend();
      await host.untilGone(guest.domid);
      await host.untilHidden(e1000e, nvme, xhci);
      expect(await guest.all()).toEqual({});
    },
  );

  test.each(moments)('while it is %s, and made anew at once: begins anew', async (_, reach) => {
    await using guest = await begin();
    await reach(guest);
    await host.xenstore.transaction(async (tx) => {
      const [back, front] = [guest.backPath, guest.frontPath];
      await tx.rm(back);
      await tx.rm(front);
      const keys = {
        frontend: front,
        'frontend-id': guest.domid,
        online: 1,
        ...listing(0, rtl8139),
        state: 1,
      };
      for (const [key, value] of Object.entries(keys)) await tx.write(`${back}/${key}`, String(value));
      await tx.write(`${front}/backend`, back);
      await tx.write(`${front}/state`, '1');
    });
    await guest.untilBack('state', Initialised);
    expect(await guest.all()).toMatchObject({ 'vdev-0': '0000:00:00.00', 'state-0': '3' });
    await host.untilHidden(e1000e, nvme, xhci);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x8139_10ec });
  });
});

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
