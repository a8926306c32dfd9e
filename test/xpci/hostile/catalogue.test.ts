import { expect, test } from 'vitest';
import { makeSbdf } from '../../../src/address.ts';
import {
  attempt,
  catalogue,
  GuestBus,
  Requester,
  type HostileContext,
  type RequestChannel,
} from '../../../src/xpci/index.ts';
import { FakeFunction, FakeHost, networkAdapter, words } from '../fake-host.ts';

const address = makeSbdf(0, 0, 0, 0);

/** A network adapter with everything an attempt is aimed at. */
function target(): FakeFunction {
  const fn = networkAdapter();
  const put = (offset: number, values: readonly number[]) =>
    values.forEach((byte, i) => fn.bytes.setUint8(offset + i, byte));
  put(0xb0, [0x03, 0xf0]);
  put(0xf0, [0x13, 0x00, 0x06, 0x03]);
  put(0x140, words(0x1801_000f));
  put(0x180, words(0x0001_0010));
  return fn;
}

/** Drops every write, and answers the interrupt requests by the protocol: nothing gets past it. */
class StrictHost extends FakeHost {
  #scanned = false;

  seal(): void {
    this.#scanned = true;
  }

  override exchange(op: Int32Array): number | null {
    const entries = Array.from(op.subarray(9, 9 + Math.min(op[7] ?? 0, 128)), (word) => word >>> 16);
    const isBadMsix =
      op[0] === 4 && (new Set(entries).size !== entries.length || entries.some((entry) => entry > 4));
    const isWrite = op[0] === 1 && this.#scanned;
    if (!isWrite && !isBadMsix) return super.exchange(op);
    op[1] = isBadMsix ? -5 : 0;
    return op[1];
  }
}

function contextOver(host: FakeHost): HostileContext {
  host.add(0, 0, target());
  const bus = new GuestBus(new Requester(host));
  const [fn] = bus.scan([{ segment: 0, bus: 0 }]);
  if (!fn) throw new Error('the scan found nothing');
  return { bus, fn, page: null };
}

async function tryAll(context: HostileContext) {
  const results = [];
  for (const what of catalogue) results.push(await attempt(what, context));
  return results;
}

test('names are unique and every attempt says what it is after', () => {
  const names = catalogue.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(catalogue.every(({ aim }) => aim.length > 0)).toBe(true);
});

test('a back-end that lets nothing through holds against everything', async () => {
  const host = new StrictHost();
  const context = contextOver(host);
  host.seal();
  const results = await tryAll(context);
  expect(results.filter(({ verdict }) => verdict === 'breached')).toEqual([]);
  expect(results.filter(({ verdict }) => verdict === 'absent').map(({ name }) => name)).toEqual([
    'secondary-bus-reset',
    'rewrite-offset',
    'rewrite-size',
    'rewrite-command',
    'rewrite-count',
    'forge-aer',
    'rubbish-page',
    'event-storm',
  ]);
});

test('a back-end without a filter is breached by every write that it lets through', async () => {
  const results = await tryAll(contextOver(new FakeHost()));
  const breached = results.filter(({ verdict }) => verdict === 'breached').map(({ name }) => name);
  expect(breached).toEqual(
    expect.arrayContaining([
      'relocate-bar',
      'forge-identity',
      'redirect-interrupt-line',
      'msi-address',
      'msi-data',
      'msi-enable-raw',
      'msix-enable-raw',
      'msix-move-table',
      'vpd-write',
      'pme-enable',
      'relink-capabilities',
      'sriov-enable',
      'ats-enable',
      'mask-error-reports',
      'msix-duplicate',
      'msix-out-of-range',
      'flr',
      'af-flr',
    ]),
  );
});

test('an answer that is not the one expected is a breach, whichever it is', async () => {
  const context = contextOver(new FakeHost());
  const answering = (err: number | null): RequestChannel => ({
    exchange: (op) => {
      op[1] = err ?? 0;
      return err;
    },
  });
  const beyond = catalogue.find(({ name }) => name === 'offset-beyond');
  if (!beyond) throw new Error('the catalogue has changed');
  for (const [err, verdict] of [
    [-2, 'refused'],
    [0, 'breached'],
    [-22, 'breached'],
    [null, 'breached'],
  ] as const) {
    const bus = new GuestBus(new Requester(answering(err)));
    expect(await attempt(beyond, { ...context, bus })).toMatchObject({ verdict });
  }
});

test('a result says what was sent and what came back', async () => {
  const context = contextOver(new FakeHost());
  const of = (name: string) => {
    const what = catalogue.find((candidate) => candidate.name === name);
    if (!what) throw new Error(`no attempt is called ${name}`);
    return attempt(what, context);
  };
  expect(await of('offset-negative')).toEqual({
    name: 'offset-negative',
    request: 'read -0x4/4 at 0000:00:00.0',
    answer: 'invalid offset (-2)',
    verdict: 'refused',
  });
  expect(await of('domain-all-ones')).toMatchObject({
    request: 'read 0x000/4 at domain 0xffffffff bus 0x0 devfn 0x0',
  });
  expect(await of('enable-rom')).toMatchObject({ request: 'write 0x030/4 = 0xd0000001' });
  expect(await of('msix-too-many')).toMatchObject({
    request: 'enableMsix n=129 at 0000:00:00.0',
    answer: 'operation failed (-5)',
  });
});

test('interrupts that a driver uses are left alone', async () => {
  const host = new FakeHost();
  const context = contextOver(host);
  context.bus.enableMsix(address);
  const order = catalogue.find(({ name }) => name === 'interrupts-out-of-order');
  if (!order) throw new Error('the catalogue has changed');
  expect(await attempt(order, context)).toMatchObject({ verdict: 'absent' });
  expect(host.functions.get(address)?.interruptMode).toBe('msix');
});
