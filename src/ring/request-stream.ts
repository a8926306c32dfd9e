/**
 * A guest's requests as a stream, but for those that the ring answers by itself. Each emission is the same 137 words: the copy of the
 * request that is to be answered before `next` returns.
 *
 * After an answer the page is looked at again, for a bounded time, before the thread goes back to sleep on the event
 * channel: a guest that enumerates a bus sends its next request within microseconds, and in a PV dom0 a sleep and a
 * wake-up cost more than everything else. How long it looks adapts: it doubles when a look finds a request and halves
 * when none comes.
 */
import { Observable } from 'rxjs';
import type { Ring } from '../host/platform.ts';

export interface Pacing {
  /** Bounds of one look, in turns of some tens of nanoseconds. */
  readonly fewestTurns: number;
  readonly mostTurns: number;
  /** Turns in which the next request comes of a front-end that does nothing but ask: some microseconds. */
  readonly hurry: number;
  /** Requests that the ring answers by itself before other guests on this thread get their turn; waiting for them counts, too. */
  readonly batch: number;
  /** As how many of those one counts that is emitted. */
  readonly weight: number;
  /** Wake-ups in a row without a request, from which on a guest's notifications are taken to be a storm. */
  readonly idleWakeups: number;
  /** Longest time, in milliseconds, for which a storming guest's event channel stays masked. */
  readonly longestMask: number;
}

export const defaultPacing: Pacing = {
  fewestTurns: 64,
  mostTurns: 4096,
  hurry: 64,
  batch: 1024,
  weight: 4,
  idleWakeups: 32,
  longestMask: 50,
};

export interface StreamHooks {
  /** A guest keeps notifying without requests; called once a storm, with the wake-ups so far. */
  readonly onStorm?: (wakeups: number) => void;
  /** So many requests more were answered without being emitted, and so many the guest had given up. Part of their path. */
  readonly onAnswered?: (answered: number, abandoned: number) => void;
}

/**
 * Serves `ring` for as long as it is subscribed to, and completes when the page vanishes. `wakes` emits when the event
 * channel fires; the ring stays masked from then until nothing more is found on the page (a late EOI, XSA-332).
 */
export function requestStream(
  ring: Ring,
  wakes: Observable<void>,
  pacing: Pacing = defaultPacing,
  hooks: StreamHooks = {},
): Observable<Int32Array> {
  return new Observable((subscriber) => {
    const { fewestTurns, mostTurns, hurry, batch, weight } = pacing;
    let turns = fewestTurns;
    let { answered, abandoned, spent } = ring;
    let idleWakeups = 0;
    let servedSinceWake = false;
    let later: NodeJS.Immediate | undefined;
    let masked: NodeJS.Timeout | undefined;

    const rearm = (): void => {
      masked = undefined;
      ring.rearm();
    };

    /** A guest may notify as often as it likes; it gets attention at most once in a growing time (XSA-332, XSA-391). */
    const rest = (): void => {
      idleWakeups = servedSinceWake ? 0 : idleWakeups + 1;
      servedSinceWake = false;
      if (idleWakeups <= pacing.idleWakeups) {
        ring.rearm();
        return;
      }
      if (idleWakeups === pacing.idleWakeups + 1) hooks.onStorm?.(idleWakeups);
      masked = setTimeout(rearm, Math.min(pacing.longestMask, idleWakeups - pacing.idleWakeups));
    };

    const found = (): void => {
      turns = Math.min(turns * 2, mostTurns);
      servedSinceWake = true;
    };

    /** Takes note of what the ring has answered by itself since this was called last, and returns what that counts. */
    const takeNote = (): number => {
      const more = (ring.answered - answered) >>> 0;
      const lost = (ring.abandoned - abandoned) >>> 0;
      const count = (ring.spent - spent) >>> 0;
      ({ answered, abandoned, spent } = ring);
      if (more + lost > 0) {
        found();
        hooks.onAnswered?.(more, lost);
      }
      return count;
    };

    const serve = (): void => {
      later = undefined;
      for (let served = takeNote(); served < batch;) {
        const look = ring.look(turns, mostTurns, batch - served, hurry);
        served += takeNote();
        if (look === 'request') {
          found();
          served += weight;
          subscriber.next(ring.op);
          if (subscriber.closed) return;
        } else if (look === 'idle') {
          turns = Math.max(turns >>> 1, fewestTurns);
          rest();
          return;
        } else if (look === 'vanished') {
          subscriber.complete();
          return;
        }
      }
      later = setImmediate(serve);
    };

    const subscription = wakes.subscribe(() => {
      // While a batch is interrupted or the channel is masked on purpose, whoever ends that looks at the page.
      if (later === undefined && masked === undefined) serve();
    });
    serve();

    return () => {
      subscription.unsubscribe();
      clearImmediate(later);
      clearTimeout(masked);
    };
  });
}
