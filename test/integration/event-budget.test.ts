/** A guest that has the back-end tell as much as it can (XSA-43): what is told of it is bounded, and all of it is counted. */
import type { BackendEvent, EventBudget } from 'pciback';
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../src/xenbus/index.ts';
import { readExposition, valueOf } from '../monitor/exposition.ts';
import { Host } from './host.ts';
import { Script } from './script.ts';
import { e1000e, nvme } from './surroundings.ts';

const { Initialising, Initialised, Connected, Closing, Closed } = XenbusState;
/** Small, so that no machine is too slow to exceed it. */
const eventBudget: EventBudget = { burst: 10, perSecond: 0.5 };
const { burst, perSecond } = eventBudget;

const told = (host: Host, domid: number): readonly BackendEvent[] =>
  host.events.filter((event) => event.domid === domid);

const suppressed = (host: Host, domid: number): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const { type, data } of told(host, domid)) {
    if (type !== 'events.suppressed') continue;
    for (const [name, times] of Object.entries(data ?? {})) sum[name] = (sum[name] ?? 0) + Number(times);
  }
  return sum;
};

/** Times are whole milliseconds, and an event is dated before it is let through: a busy thread may date it late. */
const slack = 2;

function expectWithinBudget(host: Host, domid: number): void {
  const times = told(host, domid).map(({ time }) => Date.parse(time));
  for (const [first, from] of times.entries()) {
    for (let last = first; last < times.length; last += 1) {
      const seconds = ((times[last] ?? 0) - from) / 1000;
      expect(last - first + 1).toBeLessThanOrEqual(burst + perSecond * seconds + slack);
    }
  }
}

/** Of this type, whether told or only counted. */
const happened = (host: Host, domid: number, type: BackendEvent['type']): number =>
  told(host, domid).filter((event) => event.type === type).length + (suppressed(host, domid)[type] ?? 0);

async function untilCounted(
  host: Host,
  domid: number,
  type: BackendEvent['type'],
  times: number,
): Promise<void> {
  await expect.poll(() => happened(host, domid, type)).toBeGreaterThanOrEqual(times);
}

async function reconnect(guest: Script): Promise<void> {
  await guest.writeFront({ state: Closing });
  await guest.untilBack('state', Closing);
  await guest.writeFront({ state: Closed });
  await guest.untilBack('state', Closed);
  await guest.writeFront({ state: Initialising });
  await guest.untilBack('state', Initialised);
  await guest.publish();
  await guest.untilBack('state', Connected);
  await guest.writeFront({ state: Connected });
}

describe('a guest that floods the log', () => {
  test('by reconnecting politely, again and again: told within its budget, counted whole', async () => {
    await using host = await Host.start([nvme], { eventBudget, metrics: { host: '127.0.0.1', port: 0 } });
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const rounds = 10;
    for (let round = 0; round < rounds; round += 1) await reconnect(guest);
    // A life has eight changes of state between one `connected` and the next at least.
    await untilCounted(host, 1, 'guest.state', 8 * rounds);
    expectWithinBudget(host, 1);
    expect(suppressed(host, 1)['guest.state']).toBeGreaterThan(0);
    const { to = '' } = await host.until('metrics', ({ type }) => type === 'metrics.started');
    const families = readExposition(await (await fetch(to)).text());
    const phase = { phase: 'connecting' };
    expect(valueOf(families, 'xen_pciback_handshake_seconds_count', phase)).toBe(rounds + 1);
  });

  test('by publishing what no front-end publishes', async () => {
    await using host = await Host.start([nvme], { eventBudget });
    await using guest = await Script.begin(host, 1);
    await guest.create(nvme);
    await guest.untilBack('state', Initialised);
    const rounds = 10;
    for (let round = 0; round < rounds; round += 1) {
      await guest.writeFront({ 'pci-op-ref': 8, 'event-channel': 1, magic: 'nonsense', state: Initialised });
      await guest.untilBack('state', Closing);
      await guest.writeFront({ state: Closed });
      await guest.untilBack('state', Closed);
      await guest.writeFront({ state: Initialising });
      await guest.untilBack('state', Initialised);
    }
    await untilCounted(host, 1, 'guest.state', 8 * rounds);
    expectWithinBudget(host, 1);
    // The reason is among what was told.
    expect(told(host, 1)).toContainEqual(expect.objectContaining({ to: 'failing', reason: 'BAD-MAGIC' }));
  });

  test('by resetting its function, again and again', async () => {
    await using host = await Host.start([nvme], { eventBudget });
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    const control = await pcieControl(guest);
    const rounds = 20;
    for (let round = 0; round < rounds; round += 1) {
      await guest.write(0, control, 2, 0x8000);
      await expect.poll(async () => (await guest.read(0)).value, { interval: 1 }).not.toBe(0xffff_ffff);
    }
    await untilCounted(host, 1, 'reset.completed', rounds);
    expect(happened(host, 1, 'reset.completed')).toBe(rounds);
    expectWithinBudget(host, 1);
  });

  test('by killing its worker: others that share it are told of as they were', async () => {
    await using host = await Host.start([nvme, e1000e], { eventBudget });
    await using guest = await Script.begin(host, 1);
    await guest.connect(nvme);
    for (let round = 1; round <= 8; round += 1) {
      await host.backend.killWorker(1);
      await host.untilStatus('it to be served', ({ guests }) =>
        guests.some(({ domid, state }) => domid === 1 && state === 'connected'),
      );
    }
    await untilCounted(host, 1, 'guest.adopted', 8);
    expectWithinBudget(host, 1);
    await using other = await Script.begin(host, 2);
    await other.connect(e1000e);
    await host.until('it to be told of', ({ domid, to }) => domid === 2 && to === 'connected');
    expect(suppressed(host, 2)).toEqual({});
  });

  test('its end is told, and nothing of it remains untold', async () => {
    await using host = await Host.start([nvme], { eventBudget });
    {
      await using guest = await Script.begin(host, 1);
      await guest.connect(nvme);
      for (let round = 0; round < 5; round += 1) await reconnect(guest);
    }
    const end = await host.until('its end', ({ domid, to }) => domid === 1 && to === 'released');
    expect(end.type).toBe('guest.state');
    await host.until(
      'what was suppressed',
      (event) => event.type === 'events.suppressed' && host.events.indexOf(event) > host.events.indexOf(end),
    );
    expect(host.count('reset.completed')).toBe(1);
    expect(happened(host, 1, 'guest.state')).toBeGreaterThan(8 * 5);
  });
});

/** Where the control register of the function's PCI Express capability is. */
async function pcieControl(guest: Script): Promise<number> {
  let at = (await guest.read(0, 0x34, 1)).value;
  while (at !== 0 && (await guest.read(0, at, 1)).value !== 0x10) at = (await guest.read(0, at + 1, 1)).value;
  expect(at).not.toBe(0);
  return at + 8;
}
