import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Domain, newDomain } from '../../../src/xenstore/server/domain.ts';
import { type Client, type Time, Turns } from '../../../src/xenstore/server/turns.ts';

/** Time passes by work and by waiting alone. */
class PlayedTime implements Time {
  #now = 0;
  #worked = 0;
  #soon: (() => void)[] = [];
  /** Milliseconds that each look at a clock takes, as on an emulated processor. */
  slowness = 0;
  readonly #later: { readonly at: number; readonly turn: () => void }[] = [];

  now(): number {
    this.#now += this.slowness;
    return this.#now;
  }

  worked(): number {
    this.#now += this.slowness;
    return this.#worked;
  }

  soon(turn: () => void): void {
    this.#soon.push(turn);
  }

  later(turn: () => void, milliseconds: number): void {
    this.#later.push({ at: this.#now + milliseconds, turn });
  }

  work(milliseconds: number): void {
    this.#now += milliseconds;
    this.#worked += milliseconds;
  }

  /** Something else than this process is at work. */
  lose(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Takes the turns that are due now; false when there is nothing left to wait for either. */
  step(): boolean {
    const due = this.#soon;
    this.#soon = [];
    for (const turn of due) turn();
    if (due.length > 0) return true;
    this.#later.sort((one, other) => one.at - other.at);
    const next = this.#later.shift();
    if (!next) return false;
    this.#now = Math.max(this.#now, next.at);
    next.turn();
    return true;
  }

  run(until: number): void {
    while (this.#now < until && this.step());
  }
}

/** A connection that always has as many requests as it is given; each takes so long. */
class Sender implements Client {
  readonly domain: Domain;
  readonly #time: PlayedTime;
  readonly #cost: number;
  readonly #log: Sender[];
  requests: number;
  served = 0;
  flushes = 0;

  constructor(time: PlayedTime, domain: Domain, cost: number, requests: number, log: Sender[] = []) {
    this.#time = time;
    this.domain = domain;
    this.#cost = cost;
    this.requests = requests;
    this.#log = log;
  }

  get spent(): number {
    return this.served * this.#cost;
  }

  work(): boolean {
    this.#time.work(this.#cost);
    this.#log.push(this);
    this.served += 1;
    this.requests -= 1;
    return this.requests > 0;
  }

  flush(): void {
    this.flushes += 1;
  }
}

const connections = (
  time: PlayedTime,
  domid: number,
  count: number,
  cost: number,
  requests = Infinity,
): Sender[] => {
  const domain = newDomain(domid, 0);
  return Array.from({ length: count }, () => new Sender(time, domain, cost, requests));
};

const spent = (senders: readonly Sender[]): number => senders.reduce((sum, each) => sum + each.spent, 0);

describe('domains', () => {
  it('share the daemon, however many connections each has and whatever its requests cost', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            count: fc.integer({ min: 1, max: 32 }),
            cost: fc.double({ min: 0.005, max: 0.7, noNaN: true }),
          }),
          {
            minLength: 2,
            maxLength: 5,
          },
        ),
        (guests) => {
          const time = new PlayedTime();
          const turns = new Turns(time);
          const domains = guests.map(({ count, cost }, index) => connections(time, index + 1, count, cost));
          for (const senders of domains) for (const sender of senders) turns.add(sender);
          time.run(400);
          const share = time.worked() / guests.length;
          // One batch of requests more or less.
          for (const senders of domains) expect(Math.abs(spent(senders) - share)).toBeLessThan(13);
        },
      ),
    );
  });

  it('have their connections served in turn', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const senders = connections(time, 5, 32, 0.01);
    for (const sender of senders) turns.add(sender);
    time.run(100);
    const served = senders.map((each) => each.served);
    expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(8);
  });

  it('lose nothing: every request is handled, each client’s in one piece, and flushed', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const senders = [0, 1, 2, 3].flatMap((domid) => connections(time, domid, 3, 0.05, 100));
    for (const sender of senders) turns.add(sender);
    time.run(Infinity);
    expect(senders.map((each) => each.served)).toEqual(senders.map(() => 100));
    for (const { flushes } of senders) expect(flushes).toBeGreaterThanOrEqual(100 / 8);
    expect(time.step()).toBe(false);
  });
});

describe('domain 0', () => {
  it('is served within a turn, and a few of its requests one after the other', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    for (const sender of connections(time, 5, 32, 0.02)) turns.add(sender);
    time.run(50);
    const log: Sender[] = [];
    const own = new Sender(time, newDomain(0, 0), 0.02, 20, log);
    const before = time.now();
    turns.add(own);
    while (own.requests > 0) time.step();
    // Twenty requests, at most eight of the guest's before them, and the turns in between.
    expect(time.now() - before).toBeLessThan(20 * 0.02 + 8 * 0.02 + 0.5);
  });

  it('leaves its turn to others after a few requests, however little each of them costs', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const log: Sender[] = [];
    const one = new Sender(time, newDomain(0, 0), 0.0001, 100, log);
    const other = new Sender(time, newDomain(5, 0), 0.0001, 100, log);
    for (const sender of [one, other]) turns.add(sender);
    time.run(10);
    expect(log.length).toBe(200);
    expect(log.indexOf(other)).toBe(8);
  });

  it('keeps no guest from being served', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const own = connections(time, 0, 1, 0.02);
    const guest = connections(time, 5, 1, 0.02);
    for (const sender of [...own, ...guest]) turns.add(sender);
    time.run(100);
    expect(spent(guest)).toBeGreaterThan(8);
    expect(spent(own)).toBeGreaterThan(4 * spent(guest));
  });
});

describe('requests that take long', () => {
  it('leave most of the time to others, also when nobody else is at work now', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const guest = connections(time, 5, 32, 50);
    for (const sender of guest) turns.add(sender);
    time.run(10_000);
    expect(time.worked()).toBeGreaterThan(1500);
    expect(time.worked()).toBeLessThan(2500);
  });

  it('do not keep other domains waiting while theirs rests', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    for (const sender of connections(time, 5, 1, 50)) turns.add(sender);
    const other = connections(time, 6, 1, 0.02);
    for (const sender of other) turns.add(sender);
    time.run(1000);
    expect(spent(other)).toBeGreaterThan(600);
  });

  it('are those that this process worked on: on a busy machine nobody rests for others', () => {
    const time = new PlayedTime();
    const turns = new Turns(time);
    const slow: Client = {
      domain: newDomain(5, 0),
      work: () => {
        time.lose(50);
        time.work(0.02);
        return true;
      },
      flush: () => {},
    };
    turns.add(slow);
    time.run(1000);
    expect(time.worked() / 0.02).toBeGreaterThan(15);
  });
});

it('some request is handled in each turn, however slow the machine is', () => {
  const time = new PlayedTime();
  time.slowness = 1;
  const turns = new Turns(time);
  const senders = [...connections(time, 0, 2, 1, 10), ...connections(time, 5, 2, 1, 10)];
  for (const sender of senders) turns.add(sender);
  time.run(10_000);
  expect(senders.map(({ served }) => served)).toEqual([10, 10, 10, 10]);
});

it('a domain that was idle has saved nothing up', () => {
  const time = new PlayedTime();
  const turns = new Turns(time);
  const busy = connections(time, 5, 1, 0.02);
  for (const sender of busy) turns.add(sender);
  time.run(1000);
  const late = connections(time, 6, 1, 0.02);
  const before = spent(busy);
  for (const sender of late) turns.add(sender);
  time.run(1100);
  expect(spent(busy) - before).toBeGreaterThan(40);
  expect(spent(late)).toBeGreaterThan(40);
});
