/** Whole lives of guests that are processes: from `pci = [...]` to functions that are hidden again, clean. */
import { isExportable } from 'pciback';
import { type GuestEvent, type GuestProcess, setDomainState } from 'pciback/xpci';
import { filter, firstValueFrom, skip } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Header } from '../../src/config-space/bits.ts';
import { Host } from './host.ts';
import {
  type Variant,
  ac97,
  captures,
  e1000e,
  graphics,
  hdmiAudio,
  igb,
  igbvf,
  nvme,
  rtl8139,
  within,
  xhci,
} from './surroundings.ts';

let host: Host;
beforeAll(async () => {
  const hidden = captures.filter(isExportable).map(({ sbdf }) => sbdf);
  host = await Host.start(hidden, { workers: 2 });
});
afterEach(() => host.removeGuests());
afterAll(() => host[Symbol.asyncDispose]());

let lastDomid = 0;
const nextDomid = (): number => ++lastDomid;

/** What stands where on a guest's bus. */
async function busOf(guest: GuestProcess): Promise<readonly string[]> {
  const { functions } = await guest.call('status', {});
  const hex = (value: number): string => value.toString(16).padStart(4, '0');
  return functions.map(({ address, vendor, device }) => `${address} ${hex(vendor)}:${hex(device)}`);
}

const isConnected = ({ type }: GuestEvent): boolean => type === 'connected';

const variants: readonly Variant[] = ['linux', 'netbsd', 'minios'];

describe.each(variants)('a %s guest', (variant) => {
  test('boots, enables its functions, hears their interrupts, works, and is destroyed', async () => {
    const domid = nextDomid();
    const resets = host.hardware(nvme).resets;
    const guest = await host.boot(domid, [nvme, e1000e], variant);
    expect(await busOf(guest)).toEqual(['0000:00:00.0 1b36:0010', '0000:00:01.0 8086:10d3']);
    await guest.call('enable', {});
    const { vectors } = await guest.call('enableMsix', { count: 3 });
    expect(Object.values(vectors).map(({ length }) => length)).toEqual([3, 3]);
    await guest.call('interrupts', {});
    expect(host.backend.signal(nvme)).toBe(3);
    const { pirqs } = await guest.call('interrupts', {});
    expect(pirqs.map(({ events }) => events)).toEqual([1, 1, 1, 0, 0, 0]);
    expect(await guest.call('load', { seconds: 0.2 })).toMatchObject({ lost: 0, wrong: 0 });

    await guest.kill();
    // A process that is gone is not yet a domain that is gone.
    expect(host.function(nvme)).toEqual({ state: 'connected', owner: domid });
    await host.destroyDomain(domid);
    await host.untilGone(domid);
    await host.untilHidden(nvme, e1000e);
    expect(await host.traces(domid, nvme, e1000e)).toEqual([]);
    expect(host.ports()).toEqual([]);
    expect(host.hardware(nvme).resets).toBe(resets + 1);
    // Bus mastering and MSI-X are off, and nothing else differs from a function that nobody ever had.
    expect(host.hardware(nvme).read(Header.command, 2) & 0x4).toBe(0);
    expect(host.hardware(nvme).read(0x42, 2) & 0xc000).toBe(0);
  });
});

describe('hot-plug', () => {
  test('a linux guest is given functions and gives them up while it works', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    const load = guest.call('load', { seconds: 30 });
    expect(await host.attach(domid, e1000e, igbvf)).toMatchObject({ outcome: 'completed' });
    expect(await busOf(guest)).toEqual([
      '0000:00:00.0 1b36:0010',
      '0000:00:01.0 8086:10d3',
      '0000:00:02.0 8086:10ca',
    ]);
    expect(await host.detach(domid, e1000e)).toEqual({ outcome: 'completed' });
    expect(await busOf(guest)).toEqual(['0000:00:00.0 1b36:0010', '0000:00:02.0 8086:10ca']);
    await host.untilHidden(e1000e);
    expect(await host.attach(domid, xhci)).toMatchObject({ outcome: 'completed' });
    expect(await busOf(guest)).toContain('0000:00:01.0 1b36:000d');
    await guest.call('stopLoad', {});
    expect(await load).toMatchObject({ lost: 0, wrong: 0 });
  });

  test('a mini-os guest takes part in it without noticing, and finds the function when it looks', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme], 'minios');
    expect(await host.attach(domid, e1000e)).toMatchObject({ outcome: 'completed' });
    expect(await busOf(guest)).toHaveLength(1);
    expect(await guest.call('scan', {})).toEqual({ found: ['0000:00:01.0'] });
    expect(await host.detach(domid, nvme)).toEqual({ outcome: 'completed' });
    await host.untilHidden(nvme);
  });

  test('a netbsd guest panics, as the real one does; destroying it frees its functions all the same', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme], 'netbsd');
    const attached = host.attach(domid, e1000e);
    await guest.until(({ type }) => type === 'panic');
    await host.destroyDomain(domid);
    expect((await attached).outcome).not.toBe('completed');
    await host.untilGone(domid);
    await host.untilHidden(nvme, e1000e);
    expect(await host.traces(domid, nvme, e1000e)).toEqual([]);
  });

  test('taking the last function away ends the device, and a new one can be made', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    expect(await host.detach(domid, nvme)).toEqual({ outcome: 'completed' });
    await host.untilGone(domid);
    await host.untilHidden(nvme);
    expect(await host.attach(domid, e1000e)).toMatchObject({ outcome: 'completed' });
    await host.untilStatus(
      'the guest to connect again',
      () => host.guest(domid)?.frontendState === 'Connected',
    );
    expect(await busOf(guest)).toEqual(['0000:00:00.0 8086:10d3']);
  });

  test('adding and taking away the same function over and over leaks nothing', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    const load = guest.call('load', { seconds: 60 });
    for (let round = 0; round < 5; round += 1) {
      expect(await host.attach(domid, rtl8139)).toMatchObject({ outcome: 'completed' });
      expect(await host.detach(domid, rtl8139)).toEqual({ outcome: 'completed' });
    }
    await guest.call('stopLoad', {});
    expect(await load).toMatchObject({ lost: 0, wrong: 0 });
    expect(host.ports()).toHaveLength(1);
  });

  test('a function is handed from one working guest to another', async () => {
    const [from, to] = [nextDomid(), nextDomid()];
    const [giver, taker] = await Promise.all([host.boot(from, [nvme, e1000e]), host.boot(to, [xhci])]);
    const loads = [giver, taker].map((guest) => guest.call('load', { seconds: 30 }));
    await giver.call('enableMsix', { address: '0000:00:01.0' });
    expect(await host.detach(from, e1000e)).toEqual({ outcome: 'completed' });
    expect(await host.attach(to, e1000e)).toMatchObject({ outcome: 'completed' });
    expect(await busOf(taker)).toEqual(['0000:00:00.0 1b36:000d', '0000:00:01.0 8086:10d3']);
    await taker.call('enable', { address: '0000:00:01.0' });
    expect(await taker.call('enableMsix', { address: '0000:00:01.0' })).toMatchObject({
      vectors: { '0000:00:01.0': { length: 5 } },
    });
    for (const guest of [giver, taker]) await guest.call('stopLoad', {});
    const [given, kept] = await Promise.all(loads);
    // What was taken away is no longer found there, but every request is answered.
    expect(given).toMatchObject({ lost: 0 });
    expect(kept).toMatchObject({ lost: 0, wrong: 0 });
  });
});

describe('the end', () => {
  test('a linux guest that shuts down is followed to Closed, and destroyed then', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    expect(await guest.shutdown()).toMatchObject({ code: 0 });
    await host.untilKey(`/local/domain/0/backend/pci/${domid}/0/state`, '6');
    await host.destroyDomain(domid);
    await host.untilGone(domid);
    await host.untilHidden(nvme);
    expect(await host.traces(domid, nvme)).toEqual([]);
  });

  test('a mini-os guest closes, and finds the back-end ready for the next time', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme], 'minios');
    expect(await guest.shutdown()).toMatchObject({ code: 0 });
    await host.untilStatus('the back-end to be ready', () => host.guest(domid)?.state === 'initialised');
    const again = host.guestProcess(domid, 'minios');
    await again.connected();
    expect(await busOf(again)).toEqual(['0000:00:00.0 1b36:0010']);
  });

  test('a guest whose driver is loaded again without a word is connected again', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    const again = firstValueFrom(guest.events.pipe(filter(isConnected), skip(1)));
    await guest.call('reconnect', {});
    await within(again, () => 'the guest to be connected again');
    expect(await guest.call('load', { seconds: 0.1 })).toMatchObject({ lost: 0, wrong: 0 });
  });

  test.each(['shutdown 3', 'dying'] as const)('a domain that is %s and then removed', async (state) => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme]);
    await guest.kill();
    await setDomainState(host.directory, domid, state);
    await host.destroyDomain(domid);
    await host.untilGone(domid);
    await host.untilHidden(nvme);
    expect(await host.traces(domid, nvme)).toEqual([]);
  });

  test('a domain that is removed under its guest, which goes on asking', async () => {
    const domid = nextDomid();
    const guest = await host.boot(domid, [nvme, igb]);
    const load = guest.call('load', { seconds: 1 }).catch((error: unknown) => error);
    await host.destroyDomain(domid);
    await host.untilGone(domid);
    await host.untilHidden(nvme, igb);
    expect(await host.traces(domid, nvme, igb)).toEqual([]);
    await guest.kill();
    await load;
    expect(host.ports()).toEqual([]);
  });

  test('a guest reboots: a new domain is given its functions while they are still being reset', async () => {
    const [before, after] = [nextDomid(), nextDomid()];
    const guest = await host.boot(before, [nvme, e1000e]);
    await guest.kill();
    await host.destroyDomain(before);
    expect(await busOf(await host.boot(after, [nvme, e1000e]))).toEqual([
      '0000:00:00.0 1b36:0010',
      '0000:00:01.0 8086:10d3',
    ]);
    await host.untilGone(before);
    expect(await host.traces(before)).toEqual([]);
    expect(host.function(nvme)).toEqual({ state: 'connected', owner: after });
  });

  test('the same domain id again and again', async () => {
    const domid = nextDomid();
    for (let life = 0; life < 3; life += 1) {
      const guest = await host.boot(domid, [nvme]);
      expect(await busOf(guest)).toHaveLength(1);
      await guest.kill();
      await host.destroyDomain(domid);
      await host.untilGone(domid);
    }
  });
});

test('every kind of function works at once in one guest', async () => {
  const domid = nextDomid();
  const functions = [graphics, hdmiAudio, ac97, rtl8139, nvme, e1000e, xhci, igb, igbvf];
  const guest = await host.boot(domid, functions);
  expect(await busOf(guest)).toHaveLength(functions.length);
  // Functions of one card keep together.
  expect((await busOf(guest)).slice(0, 2).map((line) => line.slice(0, 12))).toEqual([
    '0000:00:00.0',
    '0000:00:00.1',
  ]);
  await guest.call('enable', {});
  await guest.call('enableMsix', {});
  expect(await guest.call('load', { seconds: 0.3 })).toMatchObject({ lost: 0, wrong: 0 });
});
