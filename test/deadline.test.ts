import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { deadlineSignal, onDeadline, parts } from '../src/deadline.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('comes when the time is up, once', () => {
  const missed = vi.fn<() => void>();
  onDeadline(1000, missed);
  vi.advanceTimersByTime(999);
  expect(missed).not.toHaveBeenCalled();
  vi.advanceTimersByTime(10_000);
  expect(missed).toHaveBeenCalledOnce();
});

it('does not come when it is cancelled, however late', () => {
  const missed = vi.fn<() => void>();
  const cancel = onDeadline(1000, missed);
  vi.advanceTimersByTime(999);
  cancel();
  const { signal, cancel: cancelToo } = deadlineSignal(1000);
  cancelToo();
  vi.advanceTimersByTime(10_000);
  expect(missed).not.toHaveBeenCalled();
  expect(signal.aborted).toBe(false);
});

it('counts a time in which this process was held up as one wait', () => {
  vi.useRealTimers();
  const begin = performance.now();
  let turns = 0;
  return new Promise<void>((resolve) => {
    const cancel = onDeadline(10, () => expect.unreachable());
    const heldUp = (): void => {
      const end = performance.now() + 20;
      while (performance.now() < end);
      turns += 1;
      if (turns < parts / 2) return void setImmediate(heldUp);
      cancel();
      expect(performance.now() - begin).toBeGreaterThan(10);
      resolve();
    };
    heldUp();
  });
});

it('aborts a signal', () => {
  const { signal } = deadlineSignal(1000);
  vi.advanceTimersByTime(1000);
  expect(signal.aborted).toBe(true);
});
