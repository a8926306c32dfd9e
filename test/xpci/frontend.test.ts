import { filter, firstValueFrom, map, ReplaySubject } from 'rxjs';
import { expect, test } from 'vitest';
import { formatSbdf, makeSbdf } from '../../src/address.ts';
import {
  FrontEnd,
  linux,
  minios,
  netbsd,
  type FrontendVariant,
  type FrontEndEvent,
  type GrantedChannel,
  type GuestHypervisor,
} from '../../src/xpci/index.ts';
import { FakeHost, networkAdapter } from './fake-host.ts';
import { FakeStore } from './fake-store.ts';

const backend = '/local/domain/0/backend/pci/5/0';
const device = 'device/pci/0';

/** Grants pages numbered from 8 and ports numbered from 3. */
class FakeHypervisor implements GuestHypervisor {
  readonly host = new FakeHost();
  readonly grants: { flags: number; timeout: number; open: boolean }[] = [];

  grantChannel(flags: number, timeout: number): GrantedChannel {
    const grant = { flags, timeout, open: true };
    this.grants.push(grant);
    return {
      grantRef: 7 + this.grants.length,
      port: 2 + this.grants.length,
      exchange: (op) => this.host.exchange(op),
      close: () => {
        grant.open = false;
      },
    };
  }
}

/** What a toolstack writes when it gives a domain its first function. */
function toolstackCreates(store: FakeStore): void {
  store.set({
    [`${backend}/state`]: '1',
    [`${backend}/num_devs`]: '1',
    [`${backend}/dev-0`]: '0000:03:00.0',
    [`${backend}/state-0`]: '1',
    [`${device}/backend`]: backend,
    [`${device}/backend-id`]: '0',
    [`${device}/state`]: '1',
  });
}

/** What the back-end writes when it has exported that function and is ready. */
const ready = {
  [`${backend}/vdev-0`]: '0000:00:00.00',
  [`${backend}/state-0`]: '3',
  [`${backend}/root-0`]: '0000:00',
  [`${backend}/root_num`]: '1',
  [`${backend}/state`]: '3',
};

function start(variant: FrontendVariant, magic?: string) {
  const store = new FakeStore();
  const hypervisor = new FakeHypervisor();
  hypervisor.host.add(0, 0, networkAdapter());
  toolstackCreates(store);
  const frontEnd = new FrontEnd({ store, hypervisor, variant, ...(magic === undefined ? {} : { magic }) });
  const events = new ReplaySubject<FrontEndEvent>();
  frontEnd.events.subscribe(events);
  const all: FrontEndEvent[] = [];
  frontEnd.events.subscribe((each) => all.push(each));
  let seen = 0;
  /** The next event of which the test holds, after those that were waited for already. */
  const event = async (isIt: (event: FrontEndEvent) => boolean) => {
    const indexed = events.pipe(map((each, index) => ({ each, index })));
    const found = await firstValueFrom(
      indexed.pipe(filter(({ each, index }) => index >= seen && isIt(each))),
    );
    seen = found.index + 1;
    return found.each;
  };
  const goesTo = (state: number) => event((each) => each.type === 'state' && each.state === state);
  const says = (type: FrontEndEvent['type']) => event((each) => each.type === type);
  const backendGoesTo = (state: number) => store.set({ [`${backend}/state`]: String(state) });
  const connect = async () => {
    await goesTo(3);
    store.set(ready);
    backendGoesTo(4);
    await goesTo(4);
  };
  return { store, hypervisor, frontEnd, all, goesTo, says, backendGoesTo, connect };
}

test('Linux publishes its keys in one transaction, then goes to Initialised', async () => {
  const { store, hypervisor, goesTo, frontEnd } = start(linux);
  await goesTo(3);
  expect(store.writes).toEqual([
    [`${device}/pci-op-ref=8`, `${device}/event-channel=3`, `${device}/magic=7`],
    [`${device}/state=3`],
  ]);
  expect(hypervisor.grants).toEqual([{ flags: 2, timeout: 2000, open: true }]);
  await frontEnd.stop();
});

test.each([netbsd, minios])(
  '$name goes to Initialised in the transaction that publishes its keys',
  async (variant) => {
    const { store, hypervisor, goesTo, frontEnd } = start(variant);
    await goesTo(3);
    expect(store.writes).toEqual([
      [`${device}/pci-op-ref=8`, `${device}/event-channel=3`, `${device}/magic=7`, `${device}/state=3`],
    ]);
    expect(hypervisor.grants).toEqual([{ flags: 0, timeout: Infinity, open: true }]);
    await frontEnd.stop();
  },
);

test.each([linux, netbsd, minios])(
  '$name finds its functions when the back-end is connected',
  async (variant) => {
    const { connect, frontEnd, hypervisor } = start(variant);
    await connect();
    expect(frontEnd.bus?.functions.map(({ address }) => formatSbdf(address))).toEqual(['0000:00:00.0']);
    const probed = new Set(hypervisor.host.log.map(({ address }) => address)).size;
    expect(probed).toBe(variant === minios ? 1 : 256);
    const narrow = hypervisor.host.log.filter(({ cmd, size }) => cmd < 2 && size !== 4);
    expect(narrow.length === 0).toBe(variant === netbsd);
    await frontEnd.stop();
  },
);

test('without root keys Linux scans 0000:00', async () => {
  const { store, goesTo, says, backendGoesTo, frontEnd } = start(linux);
  await goesTo(3);
  backendGoesTo(4);
  expect(await says('connected')).toMatchObject({ functions: [{ vendor: 0x8086 }] });
  expect(store.nodes.has(`${backend}/root_num`)).toBe(false);
  await frontEnd.stop();
});

test('a malformed root is fatal', async () => {
  const { store, goesTo, says, backendGoesTo, frontEnd } = start(linux);
  await goesTo(3);
  store.set({ [`${backend}/root_num`]: '1', [`${backend}/root-0`]: 'junk' });
  backendGoesTo(4);
  expect(await says('fatal')).toMatchObject({ message: 'root-0 is "junk"' });
  await goesTo(5);
  await frontEnd.stop();
});

test('hot-unplug and hot-plug go through Reconfiguring and back', async () => {
  const { store, connect, goesTo, says, backendGoesTo, hypervisor, frontEnd } = start(linux);
  await connect();
  store.set({ [`${backend}/state-0`]: '5', [`${backend}/state`]: '7' });
  expect(await says('removed')).toEqual({ type: 'removed', addresses: [makeSbdf(0, 0, 0, 0)] });
  await goesTo(7);
  expect(frontEnd.bus?.functions).toEqual([]);
  hypervisor.host.functions.clear();
  hypervisor.host.add(1, 0, networkAdapter());
  backendGoesTo(8);
  expect(await says('added')).toMatchObject({ functions: [{ address: makeSbdf(0, 0, 1, 0) }] });
  await goesTo(4);
  await frontEnd.stop();
});

test('a back-end that closes is answered with Closed, and the page is given up', async () => {
  const { connect, goesTo, says, backendGoesTo, hypervisor, frontEnd } = start(linux);
  await connect();
  backendGoesTo(5);
  await says('disconnected');
  await goesTo(6);
  expect(hypervisor.grants[0]?.open).toBe(false);
  expect(frontEnd.bus).toBeNull();
  await frontEnd.stop();
});

test('a Linux front-end in Reconfiguring does not heed a back-end that closes', async () => {
  const { store, connect, goesTo, all, backendGoesTo, hypervisor, frontEnd } = start(linux);
  await connect();
  backendGoesTo(7);
  await goesTo(7);
  backendGoesTo(5);
  await expect.poll(() => all.at(-1)).toEqual({ type: 'backend-state', state: 5 });
  await frontEnd.stop();
  expect(store.nodes.get(`${device}/state`)).toBe('7');
  expect(hypervisor.grants[0]?.open).toBe(false);
});

test('a shutdown goes through Closing and Closed, in step with the back-end', async () => {
  const { connect, goesTo, backendGoesTo, frontEnd, store } = start(linux);
  await connect();
  const closed = frontEnd.close();
  await goesTo(5);
  backendGoesTo(5);
  await goesTo(6);
  backendGoesTo(6);
  await closed;
  expect(store.writes.slice(-2)).toEqual([[`${device}/state=5`], [`${device}/state=6`]]);
});

test('a new device directory is a new device', async () => {
  const { store, connect, goesTo, says, backendGoesTo, hypervisor, frontEnd } = start(linux);
  await connect();
  store.remove(device);
  await says('disconnected');
  toolstackCreates(store);
  await goesTo(3);
  backendGoesTo(4);
  await goesTo(4);
  expect(hypervisor.grants.map(({ open }) => open)).toEqual([false, true]);
  await frontEnd.stop();
});

test('a guest that starts anew waits for the back-end in Initialising, with another magic if it likes', async () => {
  const { store, goesTo, backendGoesTo, frontEnd, connect } = start(linux, '6');
  await goesTo(3);
  expect(store.nodes.get(`${device}/magic`)).toBe('6');
  backendGoesTo(5);
  await goesTo(6);
  backendGoesTo(6);
  frontEnd.reconnect('7');
  await goesTo(1);
  backendGoesTo(2);
  await connect();
  expect(store.nodes.get(`${device}/magic`)).toBe('7');
  await frontEnd.stop();
});

test.each([6, 7, 8])(
  'NetBSD panics when the back-end goes to %i, and does nothing afterwards',
  async (state) => {
    const { connect, says, backendGoesTo, store, frontEnd, hypervisor } = start(netbsd);
    await connect();
    backendGoesTo(state);
    await says('panic');
    const writes = store.writes.length;
    backendGoesTo(5);
    await frontEnd.close();
    expect(store.writes).toHaveLength(writes);
    expect(hypervisor.grants).toHaveLength(1);
  },
);

test('NetBSD answers Closing with Closed and keeps its page', async () => {
  const { connect, goesTo, backendGoesTo, hypervisor, frontEnd } = start(netbsd);
  await connect();
  backendGoesTo(5);
  await goesTo(6);
  expect(hypervisor.grants[0]?.open).toBe(true);
  await frontEnd.stop();
});

test('mini-os takes part in a reconfiguration without changing anything, and writes each state once', async () => {
  const { store, connect, goesTo, backendGoesTo, frontEnd } = start(minios);
  await connect();
  store.set({ [`${backend}/state-0`]: '5', [`${backend}/state`]: '7' });
  await goesTo(7);
  expect(frontEnd.bus?.functions).toHaveLength(1);
  backendGoesTo(8);
  await goesTo(4);
  expect(store.writes.flat().filter((write) => write === `${device}/state=7`)).toHaveLength(1);
  await frontEnd.stop();
});

test('mini-os begins again after a close, once the back-end is back in InitWait', async () => {
  const { store, connect, goesTo, says, backendGoesTo, hypervisor, frontEnd } = start(minios);
  await connect();
  backendGoesTo(5);
  await goesTo(5);
  await goesTo(6);
  backendGoesTo(6);
  await goesTo(1);
  backendGoesTo(2);
  await says('disconnected');
  expect(store.writes.at(-1)).toEqual([`rm ${device}/event-channel`]);
  await goesTo(3);
  expect(store.nodes.get(`${device}/pci-op-ref`)).toBe('9');
  store.set(ready);
  backendGoesTo(4);
  await goesTo(4);
  expect(hypervisor.grants.map(({ open }) => open)).toEqual([false, true]);
  await frontEnd.stop();
});

test('a guest that ends does not wait for a back-end that never follows', async () => {
  const { store, connect, goesTo, backendGoesTo, frontEnd, hypervisor } = start(minios);
  await connect();
  backendGoesTo(5);
  await goesTo(6);
  await frontEnd.stop();
  expect(store.nodes.get(`${device}/state`)).toBe('6');
  expect(hypervisor.grants.map(({ open }) => open)).toEqual([false]);
});

test('a device that is removed during its close is written to no more', async () => {
  const { store, connect, goesTo, says, frontEnd } = start(linux);
  await connect();
  const closed = frontEnd.close();
  await goesTo(5);
  store.remove(device);
  await says('disconnected');
  await closed;
  expect(store.nodes.has(`${device}/state`)).toBe(false);
});

test('mini-os cannot reach a function whose vdev key is missing', async () => {
  const { goesTo, backendGoesTo, frontEnd, hypervisor } = start(minios);
  await goesTo(3);
  backendGoesTo(4);
  await goesTo(4);
  expect(frontEnd.bus?.functions).toEqual([]);
  expect(hypervisor.host.log).toEqual([]);
  await frontEnd.stop();
});
