/** Directories that cannot be used: the guest is told why, and may try again. */
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../../src/xenbus/index.ts';
import { listing } from '../script.ts';
import { at, nvme } from '../surroundings.ts';
import { found, scriptedGuests } from './scripted-guests.ts';

const { Initialising, Initialised, Closing, Closed } = XenbusState;
const { host, begin } = await scriptedGuests();

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
