import { Subject } from 'rxjs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Answer, Look, Ring } from '../../src/host/platform.ts';
import { defaultPacing, requestStream } from '../../src/ring/request-stream.ts';

/** A page whose requests a test puts in by hand; a request is taken when it has been answered. */
class FakeRing implements Ring {
  readonly op = new Int32Array(137);
  readonly localPort = 2;
  pending = 0;
  /** Requests that the ring answers without anybody being asked; they come before the others. */
  plain = 0;
  answered = 0;
  abandoned = 0;
  spent = 0;
  vanished = false;
  armed = 0;
  readonly looks: number[] = [];

  look(turns: number, _mostTurns?: number, batch = 1): Look {
    this.looks.push(turns);
    if (this.vanished) return 'vanished';
    const answered = Math.min(this.plain, batch);
    this.plain -= answered;
    this.answered = (this.answered + answered) >>> 0;
    this.spent = (this.spent + answered) >>> 0;
    if (answered === batch) return 'busy';
    if (this.pending === 0) return 'idle';
    this.op[0] = this.pending;
    return 'request';
  }
  answer(): Answer {
    this.pending--;
    return 'published';
  }
  answerReads(): void {}
  rearm(): void {
    this.armed++;
  }
  notify(): void {}
  close(): void {}
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('what is pending at the start is served without an event, then the channel is armed', () => {
  const ring = new FakeRing();
  ring.pending = 3;
  const seen: number[] = [];
  requestStream(ring, new Subject<void>()).subscribe((op) => {
    seen.push(op[0] ?? -1);
    ring.answer();
  });
  expect(seen).toEqual([3, 2, 1]);
  expect(ring.armed).toBe(1);
});

test('a wake-up serves everything that is there', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  let served = 0;
  requestStream(ring, wakes).subscribe(() => {
    served++;
    ring.answer();
  });
  ring.pending = 5;
  wakes.next();
  expect(served).toBe(5);
  expect(ring.armed).toBe(2);
});

test('the look grows while requests come and shrinks when none do, within its bounds', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  requestStream(ring, wakes).subscribe(() => ring.answer());
  ring.pending = 20;
  wakes.next();
  expect(Math.max(...ring.looks)).toBe(defaultPacing.mostTurns);
  for (let wake = 0; wake < 20; wake++) wakes.next();
  expect(ring.looks.at(-1)).toBe(defaultPacing.fewestTurns);
});

test('after a batch the thread is given up before it goes on', () => {
  const ring = new FakeRing();
  const batch = defaultPacing.batch / defaultPacing.weight;
  ring.pending = batch + 7;
  let served = 0;
  requestStream(ring, new Subject<void>()).subscribe(() => {
    served++;
    ring.answer();
  });
  expect(served).toBe(batch);
  expect(ring.armed).toBe(0);
  vi.runAllTicks();
  vi.advanceTimersToNextTimer();
  expect(served).toBe(batch + 7);
  expect(ring.armed).toBe(1);
});

test('what the ring answers by itself is told, counts as served, and takes its part of the batch', () => {
  const ring = new FakeRing();
  ring.answered = ring.spent = 0xffff_fff0;
  ring.plain = defaultPacing.batch + 5;
  ring.pending = 2;
  const told: (readonly [number, number])[] = [];
  const onAnswered = (answered: number, abandoned: number): number => told.push([answered, abandoned]);
  let served = 0;
  const wakes = new Subject<void>();
  requestStream(ring, wakes, defaultPacing, { onAnswered }).subscribe(() => {
    served++;
    ring.answer();
  });
  expect([told, served, ring.armed]).toEqual([[[defaultPacing.batch, 0]], 0, 0]);
  vi.advanceTimersToNextTimer();
  expect(told.slice(1)).toEqual([[5, 0]]);
  expect([served, ring.armed]).toEqual([2, 1]);
  // Before a wake-up reaches this stream the ring may have looked already.
  ring.answered += 3;
  ring.abandoned += 1;
  wakes.next();
  expect(told.slice(2)).toEqual([[3, 1]]);
});

test('a request for which the ring has waited long is more of the batch', () => {
  const ring = new FakeRing();
  ring.spent = defaultPacing.batch;
  ring.pending = 1;
  const wakes = new Subject<void>();
  let served = 0;
  requestStream(ring, wakes).subscribe(() => {
    served++;
    ring.answer();
  });
  expect(served).toBe(1);
  // While an event was heard the ring has answered one, and has used the batch up with it.
  ring.answered++;
  ring.spent += defaultPacing.batch;
  ring.pending = 1;
  wakes.next();
  expect(served).toBe(1);
  vi.advanceTimersToNextTimer();
  expect(served).toBe(2);
});

test('who is answered by the ring makes no storm', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  const onStorm = vi.fn<(wakeups: number) => void>();
  requestStream(ring, wakes, defaultPacing, { onStorm }).subscribe();
  for (let wake = 0; wake < 3 * defaultPacing.idleWakeups; wake++) {
    ring.answered++;
    wakes.next();
  }
  expect(onStorm).not.toHaveBeenCalled();
});

test('a storm of notifications masks the channel for a bounded time and is told once', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  const storms: number[] = [];
  requestStream(ring, wakes, defaultPacing, { onStorm: (wakeups) => storms.push(wakeups) }).subscribe();
  for (let storm = 0; storm < 1000; storm++) {
    const before = ring.armed;
    wakes.next();
    if (ring.armed === before) vi.advanceTimersByTime(defaultPacing.longestMask);
    expect(ring.armed).toBe(before + 1);
  }
  expect(storms).toEqual([defaultPacing.idleWakeups + 1]);
});

test('in a storm the channel stays masked, each time for longer, and nothing is looked at meanwhile', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  requestStream(ring, wakes).subscribe();
  for (let wake = 0; wake < defaultPacing.idleWakeups; wake++) wakes.next();
  const { longestMask } = defaultPacing;
  for (let pause = 1; pause < 2 * longestMask; pause++) {
    const before = ring.armed;
    wakes.next();
    const looks = ring.looks.length;
    wakes.next();
    vi.advanceTimersByTime(Math.min(pause, longestMask) - 1);
    expect([ring.armed, ring.looks.length]).toEqual([before, looks]);
    vi.advanceTimersByTime(1);
    expect(ring.armed).toBe(before + 1);
  }
});

test('a request ends the storm', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  requestStream(ring, wakes).subscribe(() => ring.answer());
  for (let wake = 0; wake < defaultPacing.idleWakeups + 10; wake++) {
    wakes.next();
    vi.advanceTimersByTime(defaultPacing.longestMask);
  }
  ring.pending = 1;
  wakes.next();
  const { armed } = ring;
  wakes.next();
  expect(ring.armed).toBe(armed + 1);
});

test('a page that vanishes completes the stream', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  const complete = vi.fn<() => void>();
  requestStream(ring, wakes).subscribe({ complete });
  ring.vanished = true;
  wakes.next();
  expect(complete).toHaveBeenCalledOnce();
});

test('nothing is looked at after the end of the subscription', () => {
  const ring = new FakeRing();
  const wakes = new Subject<void>();
  ring.pending = 10_000;
  const subscription = requestStream(ring, wakes).subscribe(() => ring.answer());
  subscription.unsubscribe();
  const looks = ring.looks.length;
  vi.runAllTimers();
  wakes.next();
  expect(ring.looks).toHaveLength(looks);
});
