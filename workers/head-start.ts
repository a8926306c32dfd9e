/**
 * Who comes up, or is taken over, is served ahead of everything else in this domain for a bounded while: a guest that starts a driver
 * asks for hundreds of things one after the other, and where the back-end shares a processor with all that a new guest sets in motion,
 * each of them would wait for its turn. After that a guest is served like anybody else, so that one that never stops asking does not
 * keep the rest from working.
 */

/**
 * Requests that a thread answers ahead of others in a row, whoever makes them. Those of a driver are some hundreds until its device works;
 * a guest that wants more waits like everybody.
 */
const requests = 1024;
/** Milliseconds after which it is over in any case. */
const patience = 3000;
/** Milliseconds in which a guest gets only one, however often its front-end starts over. */
const rest = 60_000;

/** The guests of this thread that have one at present, and how many requests are left to all of them. */
const running = new Set<HeadStart>();
let left = 0;

export class HeadStart {
  readonly #goAhead: (isAhead: boolean) => unknown;
  #begun = -Infinity;
  #over: NodeJS.Timeout | undefined;

  /** `goAhead` schedules this thread ahead of others, or as before. */
  constructor(goAhead: (isAhead: boolean) => unknown) {
    this.#goAhead = goAhead;
  }

  /** Does nothing when this guest has one, or had one a moment ago. */
  begin(): void {
    const now = performance.now();
    if (now - this.#begun < rest) return;
    this.#begun = now;
    if (running.size === 0) {
      left = requests;
      this.#goAhead(true);
    }
    running.add(this);
    this.#over = setTimeout(() => this.end(), patience).unref();
  }

  /** So many requests of whatever guest of this thread were answered. Part of their path. */
  served(count: number): void {
    if (left === 0) return;
    left = Math.max(left - count, 0);
    if (left > 0) return;
    for (const each of running) each.end();
  }

  /** May be called twice. */
  end(): void {
    if (!running.delete(this)) return;
    clearTimeout(this.#over);
    if (running.size > 0) return;
    left = 0;
    this.#goAhead(false);
  }
}
