/**
 * Totals that only grow, of counters that do not: a function's record starts again with each guest, and is gone when the
 * function is given back to the host. What a record held before the daemon first saw it was counted by a predecessor.
 */
import type { RecordSample } from './metrics-sample.ts';

type Counter = 'reads' | 'writes' | 'denied' | 'failures';
const counters = ['reads', 'writes', 'denied', 'failures'] as const satisfies readonly Counter[];

const blank: RecordSample = {
  generation: 0,
  reads: 0,
  writes: 0,
  denied: 0,
  failures: 0,
  deniedByClass: new Map(),
  interrupts: 'none',
  vectors: 0,
};

export class Tally {
  readonly #seen = new Map<string, RecordSample>();
  readonly #totals: Record<Counter, number> = { reads: 0, writes: 0, denied: 0, failures: 0 };
  readonly #deniedByClass = new Map<string, Map<string, number>>();
  #writesDone = 0;

  get reads(): number {
    return this.#totals.reads;
  }
  get denied(): number {
    return this.#totals.denied;
  }
  get failures(): number {
    return this.#totals.failures;
  }
  /** Writes that were not denied. A write at work is counted here until it is denied: that must not take it off again. */
  get writesDone(): number {
    this.#writesDone = Math.max(this.#writesDone, this.#totals.writes - this.#totals.denied);
    return this.#writesDone;
  }

  /** Denied writes of one function by the class of the register, since it was hidden. */
  deniedOf(sbdf: string): ReadonlyMap<string, number> {
    return this.#deniedByClass.get(sbdf) ?? new Map<string, number>();
  }

  /** Takes note of a record: of every function once when it is hidden, and before its next guest starts the record again. */
  note(sbdf: string, record: RecordSample | null): void {
    const before = this.#seen.get(sbdf);
    const now = record ?? before ?? blank;
    this.#seen.set(sbdf, now);
    if (before === undefined) return;
    // A record that is just being started again may show its old generation with counters that are zero already.
    const since = (total: number, last: number): number =>
      now.generation === before.generation ? Math.max(total - last, 0) : total;
    for (const counter of counters) this.#totals[counter] += since(now[counter], before[counter]);
    const classes = this.#deniedByClass.get(sbdf) ?? new Map<string, number>();
    this.#deniedByClass.set(sbdf, classes);
    for (const [name, denied] of now.deniedByClass) {
      const more = since(denied, before.deniedByClass.get(name) ?? 0);
      classes.set(name, (classes.get(name) ?? 0) + more);
    }
  }

  /** The function has been given back to the host. What was counted for all functions together stays. */
  forget(sbdf: string): void {
    this.#seen.delete(sbdf);
    this.#deniedByClass.delete(sbdf);
  }
}
