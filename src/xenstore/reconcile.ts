import { Observable } from 'rxjs';
import { ConnectionLost } from './errors.ts';

/**
 * Turns doorbells into runs of a level-triggered function: it runs when `doorbell$` rings, never twice at a time, and
 * once more after it has ended when the bell rang meanwhile, however often. So nothing queues up, and the last change is
 * always looked at by a run that started after it.
 *
 * Emits the result of each run. A run that fails is reported to `onError` and the next ring starts another; without
 * `onError` it ends the stream. `ConnectionLost` is passed over: a watch rings by itself after the reconnect.
 * Unsubscribing aborts `signal` and starts no further run.
 */
export function reconcile<T>(
  doorbell$: Observable<unknown>,
  run: (signal: AbortSignal) => Promise<T>,
  onError?: (error: unknown) => void,
): Observable<T> {
  return new Observable((subscriber) => {
    const abort = new AbortController();
    let running = false;
    let rung = false;
    let ended = false;

    const loop = async (): Promise<void> => {
      running = true;
      while (rung && !subscriber.closed) {
        rung = false;
        try {
          subscriber.next(await run(abort.signal));
        } catch (error) {
          report(error);
        }
      }
      running = false;
      if (ended) subscriber.complete();
    };
    const report = (error: unknown): void => {
      if (error instanceof ConnectionLost || subscriber.closed) return;
      if (onError) onError(error);
      else subscriber.error(error);
    };

    subscriber.add(() => abort.abort());
    subscriber.add(
      doorbell$.subscribe({
        next: () => {
          rung = true;
          if (!running) void loop();
        },
        error: (error) => subscriber.error(error),
        complete: () => {
          ended = true;
          if (!running) subscriber.complete();
        },
      }),
    );
  });
}
