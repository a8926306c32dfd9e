import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSbdf } from '../../src/address.ts';
import { makeEvent } from '../../src/monitor/index.ts';
import { Metrics } from '../../src/monitor/metrics.ts';
import type {
  FunctionSample,
  GuestSample,
  RecordSample,
  XenstoreSample,
} from '../../src/monitor/metrics-sample.ts';
import { Tally } from '../../src/monitor/tally.ts';
import { readExposition, valueOf } from './exposition.ts';

const nic = '0000:03:00.0';
const sbdf = parseSbdf(nic) ?? (0 as never);

const record = (values: Partial<RecordSample> = {}): RecordSample => ({
  generation: 1,
  reads: 0,
  writes: 0,
  denied: 0,
  failures: 0,
  deniedByClass: new Map(),
  interrupts: 'none',
  vectors: 0,
  ...values,
});

const fn = (values: Partial<FunctionSample> = {}): FunctionSample => ({
  sbdf: nic,
  state: 'hidden',
  domid: null,
  vdev: null,
  driverBefore: 'e1000e',
  resetMethod: 'flr',
  record: null,
  ...values,
});

class Played {
  supervisor = 'ready';
  all: FunctionSample[] = [];
  store: XenstoreSample | undefined;
  guests: GuestSample[] = [];
  clock = 0;
  readonly metrics: Metrics;

  constructor(...functions: FunctionSample[]) {
    this.all = functions;
    this.metrics = new Metrics(
      {
        supervisor: this.supervisor,
        functions: () => this.all,
        function: (name) => this.all.find((each) => each.sbdf === name),
        guests: () => this.guests,
        xenstore: () => this.store,
      },
      { version: '1.2.3', now: () => this.clock },
    );
  }

  async scrape(): Promise<(name: string, labels?: Record<string, string>) => number | undefined> {
    const families = readExposition(await this.metrics.scrape());
    return (name, labels) => valueOf(families, `xen_pciback_${name}`, labels);
  }

  guest(domid: number, to: string): void {
    this.metrics.hear(makeEvent('guest.state', { domid, from: '?', to }));
  }
}

describe('the exposition', () => {
  it('can be read by a strict reader, with every family and help that is a sentence', async () => {
    const played = new Played(
      fn({
        state: 'connected',
        domid: 5,
        vdev: '0000:00:00.00',
        record: record({ interrupts: 'msix', vectors: 3 }),
      }),
    );
    played.store = { requests: { READ: 1 }, refusals: {}, events: 1, transactionRetries: 0, reconnects: 0 };
    const families = readExposition(await played.metrics.scrape());
    expect([...families.keys()].map((name) => name.replace('xen_pciback_', ''))).toEqual([
      'build_info',
      'devices',
      'device_info',
      'device_state',
      'ops_total',
      'config_writes_denied_total',
      'evtchn_throttled_total',
      'resets_total',
      'msi_vectors',
      'pirqs_mapped',
      'stalled_handshakes',
      'xenstore_requests_total',
      'xenstore_transaction_retries_total',
      'xenstore_reconnects_total',
      'watch_events_total',
      'handshake_seconds',
    ]);
  });

  it('stays readable whatever a driver is called', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (driverBefore) => {
        const read = await new Played(fn({ driverBefore })).scrape();
        const labels = { sbdf: nic, domid: '', vdev: '', driver_before: driverBefore, reset_method: 'flr' };
        expect(read('device_info', labels)).toBe(1);
      }),
    );
  });

  it('says which version it is', async () => {
    const read = await new Played().scrape();
    expect(read('build_info', { version: '1.2.3', node_version: process.version })).toBe(1);
  });
});

describe('a function', () => {
  it('is in one state, and is counted there', async () => {
    const read = await new Played(fn({ state: 'quarantined' }), fn({ sbdf: '0000:04:00.0' })).scrape();
    expect(read('device_state', { sbdf: nic, state: 'quarantined' })).toBe(1);
    expect(read('device_state', { sbdf: nic, state: 'hidden' })).toBe(0);
    expect(read('devices', { state: 'quarantined' })).toBe(1);
    expect(read('devices', { state: 'hidden' })).toBe(1);
    expect(read('devices', { state: 'connected.flr' })).toBe(0);
  });

  it('shows who has it and with how many vectors', async () => {
    const other = { state: 'connected', domid: 5, record: record({ interrupts: 'msi', vectors: 1 }) };
    const played = new Played(
      fn({
        state: 'connected',
        domid: 5,
        vdev: '0000:00:00.00',
        record: record({ interrupts: 'msix', vectors: 5 }),
      }),
      fn({ sbdf: '0000:04:00.0', ...other }),
    );
    const read = await played.scrape();
    const info = { sbdf: nic, vdev: '0000:00:00.00', driver_before: 'e1000e', reset_method: 'flr' };
    expect(read('device_info', { ...info, domid: '5' })).toBe(1);
    expect(read('msi_vectors', { sbdf: nic, kind: 'msix' })).toBe(5);
    expect(read('msi_vectors', { sbdf: nic, kind: 'msi' })).toBe(0);
    expect(read('msi_vectors', { sbdf: '0000:04:00.0', kind: 'msi' })).toBe(1);
    expect(read('pirqs_mapped', { domid: '5' })).toBe(6);
  });

  it('takes its series with it', async () => {
    const played = new Played(fn({ record: record() }));
    played.all = [fn({ domid: 5, record: record({ denied: 2, deniedByClass: new Map([['bar', 2]]) }) })];
    expect((await played.scrape())('config_writes_denied_total', { sbdf: nic, reg_class: 'bar' })).toBe(2);
    played.all = [];
    played.metrics.hear(makeEvent('function.unhidden', { sbdf, from: 'hidden' }));
    const text = await played.metrics.scrape();
    expect(text).not.toContain(nic);
    expect(text).toContain('ops_total{cmd="conf_write",result="denied"} 2');
  });
});

describe('counters', () => {
  it('begin where the predecessor’s end', async () => {
    const played = new Played(fn({ record: record({ reads: 1000 }) }));
    expect((await played.scrape())('ops_total', { cmd: 'conf_read', result: 'success' })).toBe(0);
    played.all = [fn({ record: record({ reads: 1010 }) })];
    expect((await played.scrape())('ops_total', { cmd: 'conf_read', result: 'success' })).toBe(10);
  });

  it('go on over the end of a guest that nobody scraped', async () => {
    const played = new Played();
    const at = async (cmd: string, result: string) => (await played.scrape())('ops_total', { cmd, result });
    played.all = [fn({ record: record({ generation: 7, reads: 500 }) })];
    played.metrics.hear(makeEvent('function.hidden', { sbdf, to: 'hidden' }));
    expect(await at('conf_read', 'success')).toBe(0);

    // One guest comes and goes between two scrapes, the next one is there.
    played.all = [fn({ record: record({ generation: 8, reads: 100, writes: 20, denied: 5, failures: 3 }) })];
    played.metrics.hear(makeEvent('function.state', { sbdf, from: 'reset', to: 'hidden' }));
    played.all = [fn({ record: record({ generation: 9, reads: 4, writes: 1 }) })];
    expect(await at('conf_read', 'success')).toBe(104);
    expect(await at('conf_write', 'success')).toBe(16);
    expect(await at('conf_write', 'denied')).toBe(5);
    expect(await at('enable_interrupts', 'failed')).toBe(3);
  });

  it('of xenstore tell what was refused, and never go down', async () => {
    const played = new Played();
    expect((await played.scrape())('xenstore_requests_total', { op: 'READ', errno: 'none' })).toBe(undefined);
    const rest = { events: 4, transactionRetries: 2, reconnects: 1 };
    played.store = { requests: { READ: 10, READX: 1 }, refusals: { 'READ ENOENT': 3 }, ...rest };
    let read = await played.scrape();
    expect(read('xenstore_requests_total', { op: 'READ', errno: 'none' })).toBe(7);
    expect(read('xenstore_requests_total', { op: 'READ', errno: 'ENOENT' })).toBe(3);
    expect([read('watch_events_total'), read('xenstore_transaction_retries_total')]).toEqual([4, 2]);
    expect(read('xenstore_reconnects_total')).toBe(1);
    // The last request was under way at the first scrape, and is refused at the second.
    played.store = { requests: { READ: 10 }, refusals: { 'READ ENOENT': 3, 'READ EACCES': 1 }, ...rest };
    read = await played.scrape();
    expect(read('xenstore_requests_total', { op: 'READ', errno: 'none' })).toBe(7);
    expect(read('xenstore_requests_total', { op: 'READ', errno: 'EACCES' })).toBe(1);
  });
});

describe('a guest', () => {
  it('is timed in each state of a handshake, and not while it rests', async () => {
    const played = new Played();
    for (const [to, at] of [
      ['seen', 0],
      ['announcing', 2],
      ['waiting', 4],
      ['connected', 1504],
      ['closed', 99_000],
      ['released', 99_001],
    ] as const) {
      played.clock = at;
      played.guest(5, to);
    }
    const read = await played.scrape();
    expect(read('handshake_seconds_count', { phase: 'waiting' })).toBe(1);
    expect(read('handshake_seconds_sum', { phase: 'waiting' })).toBe(1.5);
    expect(read('handshake_seconds_bucket', { phase: 'waiting', le: '1' })).toBe(0);
    expect(read('handshake_seconds_bucket', { phase: 'waiting', le: '2' })).toBe(1);
    expect(read('handshake_seconds_count', { phase: 'connected' })).toBe(undefined);
    expect(read('handshake_seconds_count', { phase: 'closed' })).toBe(undefined);
  });

  it('is stalled when it is judged to be', async () => {
    const played = new Played();
    const stalled = async () => (await played.scrape())('stalled_handshakes');
    expect(await stalled()).toBe(0);
    played.guests = [
      { domid: 5, isStalled: true },
      { domid: 6, isStalled: false },
    ];
    expect(await stalled()).toBe(1);
    played.guests = [];
    expect(await stalled()).toBe(0);
  });

  it('is not timed while its device model works with its functions', async () => {
    const played = new Played();
    const data = { reachedBy: 'device model' };
    played.metrics.hear(makeEvent('guest.state', { domid: 5, to: 'initialised', data }));
    played.clock = 3_600_000;
    played.guest(5, 'releasing');
    expect((await played.scrape())('handshake_seconds_count', { phase: 'initialised' })).toBe(undefined);
  });

  it('takes its series with it', async () => {
    const played = new Played();
    const storms = async () => (await played.scrape())('evtchn_throttled_total', { domid: '5' });
    played.guest(5, 'connected');
    const storm = makeEvent('event.storm', { domid: 5, reason: 'EVENT-STORM', data: { wakeups: 33 } });
    played.metrics.hear(storm);
    played.metrics.hear(storm);
    expect(await storms()).toBe(2);
    played.guest(5, 'released');
    expect(await storms()).toBe(undefined);
  });
});

it('counts resets by method and outcome', async () => {
  const played = new Played(fn({ resetMethod: 'bus' }));
  played.metrics.hear(makeEvent('reset.completed', { sbdf, cause: 'flr' }));
  played.metrics.hear(makeEvent('reset.completed', { sbdf, cause: 'flr' }));
  played.metrics.hear(makeEvent('reset.completed', { sbdf, cause: 'pm' }));
  played.metrics.hear(makeEvent('reset.failed', { sbdf }));
  const read = await played.scrape();
  expect(read('resets_total', { method: 'flr', result: 'completed' })).toBe(2);
  expect(read('resets_total', { method: 'pm', result: 'completed' })).toBe(1);
  expect(read('resets_total', { method: 'bus', result: 'failed' })).toBe(1);
});

describe('a tally', () => {
  it('adds up what all guests did, however often it is looked at', () => {
    const guest = fc.array(fc.record({ reads: fc.nat(9), writes: fc.nat(9), denied: fc.nat(9) }));
    fc.assert(
      fc.property(fc.array(guest), (guests) => {
        const tally = new Tally();
        let [reads, writes, denied, lastDone] = [0, 0, 0, 0];
        tally.note(nic, null);
        for (const [index, steps] of guests.entries()) {
          const before = { reads, writes, denied };
          for (const step of steps) {
            reads += step.reads;
            writes += step.writes;
            denied += step.denied;
            const its = denied - before.denied;
            tally.note(
              nic,
              record({
                generation: index + 1,
                reads: reads - before.reads,
                writes: writes - before.writes + its,
                denied: its,
                deniedByClass: new Map([['bar', its]]),
              }),
            );
            expect(tally.writesDone).toBeGreaterThanOrEqual(lastDone);
            lastDone = tally.writesDone;
          }
          // What is seen while the next guest's record is being made: the old generation, and zeroes.
          tally.note(nic, record({ generation: index + 1 }));
        }
        expect([tally.reads, tally.writesDone, tally.denied]).toEqual([reads, writes, denied]);
        expect(tally.deniedOf(nic).get('bar') ?? 0).toBe(denied);
      }),
    );
  });
});
