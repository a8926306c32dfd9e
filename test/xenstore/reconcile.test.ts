import { setImmediate as turn } from 'node:timers/promises';
import { Subject } from 'rxjs';
import { expect, test } from 'vitest';
import { ConnectionLost, reconcile } from '../../src/xenstore/index.ts';

/** A run that ends when the test says. */
class Runs {
  started = 0;
  ended = 0;
  signal: AbortSignal | undefined;
  #finish: ((value: number) => void)[] = [];
  #fail: ((error: Error) => void)[] = [];

  readonly run = (signal: AbortSignal): Promise<number> => {
    this.started++;
    this.signal = signal;
    return new Promise<number>((resolve, reject) => {
      this.#finish.push(resolve);
      this.#fail.push(reject);
    });
  };

  async finish(): Promise<void> {
    this.#fail.shift();
    this.#finish.shift()?.(++this.ended);
    await turn();
  }

  async fail(error: Error): Promise<void> {
    this.#finish.shift();
    this.#fail.shift()?.(error);
    await turn();
  }
}

interface Heard {
  readonly results: number[];
  readonly errors: unknown[];
  completed: boolean;
}

function listen(
  doorbell: Subject<unknown>,
  runs: Runs,
  onError?: (error: unknown) => void,
): Heard & { stop(): void } {
  const heard: Heard = { results: [], errors: [], completed: false };
  const subscription = reconcile(doorbell, runs.run, onError).subscribe({
    next: (result) => heard.results.push(result),
    error: (error: unknown) => heard.errors.push(error),
    complete: () => (heard.completed = true),
  });
  return Object.assign(heard, { stop: () => subscription.unsubscribe() });
}

test('however often the bell rings, one run is under way and one follows', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const heard = listen(doorbell, runs);
  expect(runs.started).toBe(0);
  doorbell.next('first');
  for (let ring = 0; ring < 1_000_000; ring++) doorbell.next(ring);
  expect(runs.started).toBe(1);
  await runs.finish();
  expect(runs.started).toBe(2);
  await runs.finish();
  expect(runs.started).toBe(2);
  doorbell.next('later');
  expect(runs.started).toBe(3);
  expect(heard.results).toEqual([1, 2]);
});

test('a failure is reported and does not end it', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const reported: unknown[] = [];
  const heard = listen(doorbell, runs, (error) => reported.push(error));
  doorbell.next(1);
  const failure = new Error('no');
  await runs.fail(failure);
  doorbell.next(2);
  await runs.finish();
  expect([reported, heard.results, heard.errors]).toEqual([[failure], [1], []]);
});

test('a failure that nobody takes ends it', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const heard = listen(doorbell, runs);
  doorbell.next(1);
  doorbell.next(2);
  const failure = new Error('no');
  await runs.fail(failure);
  expect(heard.errors).toEqual([failure]);
  expect(runs.started).toBe(1);
  expect(doorbell.observed).toBe(false);
});

test('a lost connection is no failure: the bell rings when there is another', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const heard = listen(doorbell, runs);
  doorbell.next(1);
  await runs.fail(new ConnectionLost('gone'));
  doorbell.next(2);
  await runs.finish();
  expect([heard.results, heard.errors]).toEqual([[1], []]);
});

test('unsubscribing aborts the run, and none follows', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const heard = listen(doorbell, runs);
  doorbell.next(1);
  doorbell.next(2);
  heard.stop();
  expect(runs.signal?.aborted).toBe(true);
  await runs.finish();
  expect([runs.started, heard.results, doorbell.observed]).toEqual([1, [], false]);
});

test('it completes after the last run', async () => {
  const doorbell = new Subject<unknown>();
  const runs = new Runs();
  const heard = listen(doorbell, runs);
  doorbell.next(1);
  doorbell.next(2);
  doorbell.complete();
  await runs.finish();
  expect(heard.completed).toBe(false);
  await runs.finish();
  expect([heard.results, heard.completed]).toEqual([[1, 2], true]);
});

test('it fails when the bell does', () => {
  const doorbell = new Subject<unknown>();
  const heard = listen(doorbell, new Runs());
  doorbell.error('refused');
  expect(heard.errors).toEqual(['refused']);
});
