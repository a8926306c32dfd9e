/** Guests whose next step is another side's: status says whose and since when, and the metric counts the same guests. */
import { expect, test } from 'vitest';
import { XenbusState, domainKindPaths } from '../../src/xenbus/index.ts';
import { readExposition, valueOf } from '../monitor/exposition.ts';
import { Host } from './host.ts';
import { Script, listing } from './script.ts';
import { ac97, e1000e, hdmiAudio, igb, nvme, rtl8139, xhci } from './surroundings.ts';

const { Initialised, Connected, Closing, Closed, Reconfiguring } = XenbusState;

const stalled = async (host: Host): Promise<number | undefined> => {
  const { to = '' } = await host.until('metrics', ({ type }) => type === 'metrics.started');
  const families = readExposition(await (await fetch(to)).text());
  return valueOf(families, 'xen_pciback_stalled_handshakes');
};

test('status and metric tell the same of guests that do not move on', async () => {
  const functions = [e1000e, nvme, xhci, rtl8139, ac97, igb, hdmiAudio];
  await using host = await Host.start(functions, { metrics: { host: '127.0.0.1', port: 0 } });
  await using plugging = await Script.begin(host, 1);
  await plugging.connect(e1000e);
  await plugging.writeBack({ ...listing(1, nvme), state: Reconfiguring });
  await using unplugging = await Script.begin(host, 2);
  await unplugging.connect(xhci);
  await unplugging.writeBack({ 'state-0': Closing, state: Reconfiguring });
  await using scanning = await Script.begin(host, 3);
  await scanning.create(rtl8139);
  await scanning.untilBack('state', Initialised);
  await scanning.publish();
  await scanning.untilBack('state', Connected);
  await using starting = await Script.begin(host, 4);
  await starting.create(ac97);
  await using closed = await Script.begin(host, 5);
  await closed.connect(igb);
  await closed.writeFront({ state: Closed });
  await closed.untilBack('state', Closed);
  await using served = await Script.begin(host, 6);
  await served.connect(hdmiAudio);

  const waiting = (): Record<number, string | null> =>
    Object.fromEntries(host.backend.status().guests.map(({ domid, waitingFor }) => [domid, waitingFor]));
  await expect.poll(waiting).toEqual({
    1: 'the front-end, to follow the change',
    2: 'the front-end, to follow the change',
    3: 'the front-end, to scan its bus',
    4: 'the front-end, to come up',
    5: 'the toolstack, to take the device away, or the front-end, to start over',
    6: null,
  });
  const sinceThen = host.guest(1)?.waitingSince ?? '';
  expect(Math.abs(Date.now() - Date.parse(sinceThen))).toBeLessThan(60_000);
  expect(host.guest(6)?.waitingSince).toBe(null);

  // Those of them that may not rest.
  await expect.poll(() => stalled(host), { timeout: 60_000 }).toBe(4);
  expect(Math.abs(Date.parse(host.guest(1)?.waitingSince ?? '') - Date.parse(sinceThen))).toBeLessThan(100);

  await plugging.writeFront({ state: Reconfiguring });
  await expect.poll(() => host.guest(1)?.waitingFor).toBe('the front-end, to scan its bus again');
  await plugging.writeFront({ state: Connected });
  await expect.poll(() => host.guest(1)?.waitingFor).toBe(null);
  expect(await stalled(host)).toBe(3);
});

test.each([
  ['libxl has noted the type', domainKindPaths(1).type, 'hvm', 'device model'],
  ['there is firmware for it', domainKindPaths(1).firmware, '', 'device model'],
  ['a device model runs for it', domainKindPaths(1).deviceModel, 'running', 'device model'],
  ['libxl has noted the type', domainKindPaths(1).type, 'pv', 'front-end'],
] as const)('when %s (%s = %s) a guest is told of as what it is', async (_, path, value, by) => {
  await using host = await Host.start([nvme]);
  await using guest = await Script.begin(host, 1);
  await host.xenstore.write(path, value);
  // Consoles and disks of a PV guest may be a device model's.
  if (by === 'front-end') await host.xenstore.write(domainKindPaths(1).deviceModel, 'running');
  await guest.create(nvme);
  await guest.untilBack('state', Initialised);
  const told = await host.until('it to be told', ({ domid, to }) => domid === 1 && to === 'initialised');
  const hvm = by === 'device model';
  expect(host.guest(1)).toMatchObject({
    reachedBy: by,
    waitingFor: hvm ? null : 'the front-end, to come up',
  });
  expect(told.message ?? '').toBe(
    hvm ? 'its device model reaches the functions; no front-end will come' : '',
  );
  // A front-end that comes after all is served as any other.
  await guest.publish();
  await guest.untilBack('state', Connected);
  await guest.writeFront({ state: Connected });
  expect(await guest.read(0)).toMatchObject({ err: 0 });
  await expect.poll(() => host.guest(1)).toMatchObject({ reachedBy: 'front-end', waitingFor: null });
});
