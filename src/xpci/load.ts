/** Continuous requests whose answers are known, for as long as somebody wants to see whether any is lost or wrong. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Sbdf } from '../address.ts';
import { WireError } from '../ring/layout.ts';
import type { Bar } from './bars.ts';
import type { GuestBus } from './bus.ts';
import { allOnes } from './config.ts';
import type { GuestFunction } from './enumerate.ts';
import { Register } from './registers.ts';

export interface LoadReport {
  readonly requests: number;
  /** Requests that were never answered. */
  readonly lost: number;
  /** Answers with an error, or with another value than the scan found. */
  readonly wrong: number;
  readonly seconds: number;
  /** The longest that one request took, in milliseconds. */
  readonly longest: number;
  /** The first few wrong answers, for people. */
  readonly examples: readonly string[];
}

/** How long the load may keep the event loop busy, in milliseconds. */
const slice = 5;
const mostExamples = 5;

/** One request, or a write and the read that proves it. */
interface Check {
  readonly offset: number;
  readonly size: 1 | 2 | 4;
  readonly expected: number;
  /** Written before the read; the register then shows its size, or its address again. */
  readonly write?: number;
}

/** Checks of one function that belong together: nothing else is done in between. */
interface Unit {
  readonly address: Sbdf;
  readonly checks: readonly Check[];
}

export class Load {
  readonly #bus: GuestBus;
  readonly #units: readonly Unit[];
  readonly #started = performance.now();
  readonly #sentBefore: number;
  readonly #lostBefore: number;
  #next = 0;
  #wrong = 0;
  #longest = 0;
  readonly #examples: string[] = [];

  constructor(bus: GuestBus) {
    this.#bus = bus;
    this.#units = bus.functions.flatMap(unitsOf);
    this.#sentBefore = bus.requester.sent;
    this.#lostBefore = bus.requester.lost;
  }

  /** Runs until the time is over or `isWanted` says no. Other work of the process goes on in between. */
  async run(seconds: number, isWanted: () => boolean = () => true): Promise<LoadReport> {
    const end = this.#started + seconds * 1_000;
    while (this.#units.length > 0 && performance.now() < end && isWanted()) {
      this.#runSlice();
      await turn();
    }
    return this.report();
  }

  report(): LoadReport {
    const { sent, lost } = this.#bus.requester;
    return {
      requests: sent - this.#sentBefore,
      lost: lost - this.#lostBefore,
      wrong: this.#wrong,
      seconds: (performance.now() - this.#started) / 1_000,
      longest: this.#longest,
      examples: this.#examples,
    };
  }

  #runSlice(): void {
    const end = performance.now() + slice;
    do {
      const unit = this.#units[this.#next % this.#units.length];
      this.#next += 1;
      if (unit) this.#perform(unit);
    } while (performance.now() < end);
  }

  /** Ends with the first request that is lost: a guest that waits two seconds for each of them takes long enough. */
  #perform({ address, checks }: Unit): void {
    const { requester } = this.#bus;
    const lostBefore = requester.lost;
    for (const { offset, size, expected, write } of checks) {
      const started = performance.now();
      let err: number = WireError.success;
      if (write !== undefined) err = requester.configWrite(address, offset, size, write);
      if (err === WireError.success) err = requester.configRead(address, offset, size);
      this.#longest = Math.max(this.#longest, performance.now() - started);
      if (requester.lost !== lostBefore) return;
      const value = (requester.value & allOnes(size)) >>> 0;
      if (err === WireError.success && value === expected) continue;
      this.#wrong += 1;
      const got = err === WireError.success ? `0x${value.toString(16)}` : `error ${err}`;
      const example = `0x${offset.toString(16)}/${size}: ${got}, not 0x${expected.toString(16)}`;
      if (this.#examples.length < mostExamples) this.#examples.push(example);
    }
  }
}

/** Registers that cannot change, and a BAR that is sized over and over: the back-end has to remember where it is in that. */
function unitsOf(fn: GuestFunction): Unit[] {
  const { address } = fn;
  const fixed: readonly Check[] = [
    { offset: Register.id, size: 4, expected: ((fn.device << 16) | fn.vendor) >>> 0 },
    { offset: Register.id, size: 2, expected: fn.vendor },
    { offset: Register.classAndRevision, size: 4, expected: ((fn.classCode << 8) | fn.revision) >>> 0 },
    { offset: Register.classAndRevision + 3, size: 1, expected: fn.classCode >>> 16 },
    { offset: Register.interruptPin, size: 1, expected: fn.interruptPin },
  ];
  const memory = fn.bars.find(({ kind }) => kind === 'memory32' || kind === 'memory64');
  const units = fixed.map((check) => ({ address, checks: [check] }));
  return memory ? [...units, { address, checks: sizingOf(memory) }] : units;
}

function sizingOf({ index, kind, base, size, prefetchable }: Bar): Check[] {
  const flags = (kind === 'memory64' ? 0x4 : 0) | (prefetchable ? 0x8 : 0);
  const register = (value: bigint): number => (Number(BigInt.asUintN(32, value)) | flags) >>> 0;
  const address = register(base);
  const mask = register(-size);
  const offset = Register.bar0 + 4 * index;
  return [
    { offset, size: 4, expected: mask, write: 0xffff_ffff },
    { offset, size: 4, expected: mask },
    { offset, size: 4, expected: address, write: address },
  ];
}
