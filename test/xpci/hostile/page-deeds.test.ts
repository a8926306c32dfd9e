import { expect, test } from 'vitest';
import { attempt, catalogue, GuestBus, Requester, type RawPage } from '../../../src/xpci/index.ts';
import { FakeHost, networkAdapter } from '../fake-host.ts';

type Habit = 'snapshot' | 'double fetch' | 'clears every flag' | 'deaf after a storm';

/**
 * A page with a back-end behind it that moves one step forward whenever the guest touches the page, so that a race comes out
 * the same every time.
 */
class SteppedPage implements RawPage {
  readonly memory = Buffer.alloc(4096);
  readonly #host: FakeHost;
  readonly #habit: Habit;
  #snapshot: Int32Array | null = null;
  #events = 0;

  constructor(host: FakeHost, habit: Habit) {
    this.#host = host;
    this.#habit = habit;
  }

  /** Honest requests of the same guest, over the same back-end. */
  exchange(op: Int32Array): number | null {
    return this.#habit === 'deaf after a storm' && this.#events > 1000 ? null : this.#host.exchange(op);
  }

  read(offset: number, length: number): Buffer {
    return Buffer.from(this.memory.subarray(offset, offset + length));
  }

  write(offset: number, bytes: Uint8Array): void {
    this.memory.set(bytes, offset);
    this.#step();
  }

  notify(): void {
    this.#events += 1;
    if (this.#habit === 'clears every flag') this.memory.writeUInt32LE(this.memory.readUInt32LE() & ~4);
  }

  #step(): void {
    if ((this.memory.readUInt32LE() & 1) === 0) return;
    if (!this.#snapshot) {
      this.#snapshot = this.#fetch();
      return;
    }
    const checked = this.#snapshot;
    this.#snapshot = null;
    const used = this.#habit === 'double fetch' ? this.#fetch() : checked;
    const op = checked.slice();
    this.#host.exchange(op);
    // The error comes from what was checked, the value from what was used.
    if (op[1] === 0 && used[5] !== checked[5]) op[7] = -1;
    this.memory.writeInt32LE(op[1] ?? 0, 4 + 4);
    this.memory.writeInt32LE(op[7] ?? 0, 4 + 28);
    this.memory.writeUInt32LE(this.memory.readUInt32LE() & ~1);
  }

  #fetch(): Int32Array {
    return Int32Array.from({ length: 137 }, (_, i) => this.memory.readInt32LE(4 + 4 * i));
  }
}

function tryOver(habit: Habit, name: string) {
  const host = new FakeHost().add(0, 0, networkAdapter());
  const page = new SteppedPage(host, habit);
  const bus = new GuestBus(new Requester(page));
  const [fn] = bus.scan([{ segment: 0, bus: 0 }]);
  const what = catalogue.find((candidate) => candidate.name === name);
  if (!fn || !what) throw new Error(`cannot try ${name}`);
  return attempt(what, { bus, fn, page });
}

test.each(['rewrite-offset', 'rewrite-size', 'rewrite-count', 'forge-aer', 'rubbish-page', 'event-storm'])(
  '%s is contained by a back-end that copies the request once',
  async (name) => {
    expect(await tryOver('snapshot', name)).toMatchObject({ verdict: 'contained' });
  },
);

test('a back-end that fetches the offset twice is caught', async () => {
  expect(await tryOver('double fetch', 'rewrite-offset')).toMatchObject({
    answer: expect.stringContaining('0xffffffff'),
    verdict: 'breached',
  });
});

test('a back-end that clears flags which are not its own is caught', async () => {
  expect(await tryOver('clears every flag', 'forge-aer')).toMatchObject({ verdict: 'breached' });
});

test('a back-end that no longer answers after a storm is caught', async () => {
  expect(await tryOver('deaf after a storm', 'event-storm')).toMatchObject({ verdict: 'breached' });
});
