import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HeadStart } from '../../workers/head-start.ts';

let calls: boolean[];
let starts: HeadStart[];

const guest = (): HeadStart => {
  const start = new HeadStart((isAhead) => calls.push(isAhead));
  starts.push(start);
  return start;
};

const serve = (start: HeadStart, requests: number): void => {
  for (let served = 0; served < requests; served += 1) start.served(1);
};

beforeEach(() => {
  calls = [];
  starts = [];
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  // Those of one thread are counted together.
  for (const start of starts) start.end();
  vi.useRealTimers();
});

test('two guests of a thread go ahead together, until both have come up', () => {
  const [one, other] = [guest(), guest()];
  one.begin();
  other.begin();
  expect(calls).toEqual([true]);
  one.end();
  expect(calls).toEqual([true]);
  other.end();
  expect(calls).toEqual([true, false]);
});

test('it is over after 1024 requests', () => {
  const start = guest();
  start.begin();
  serve(start, 1023);
  expect(calls).toEqual([true]);
  serve(start, 1);
  expect(calls).toEqual([true, false]);
  serve(start, 2000);
  vi.advanceTimersByTime(10_000);
  start.end();
  expect(calls).toEqual([true, false]);
});

test('the requests of every guest of the thread count, also of those that have none', () => {
  const [one, other, third] = [guest(), guest(), guest()];
  one.begin();
  other.begin();
  serve(third, 1000);
  serve(one, 23);
  expect(calls).toEqual([true]);
  serve(other, 1);
  expect(calls).toEqual([true, false]);
  expect(vi.getTimerCount()).toBe(0);
});

test('it is over after three seconds', () => {
  const start = guest();
  start.begin();
  vi.advanceTimersByTime(2999);
  expect(calls).toEqual([true]);
  vi.advanceTimersByTime(1);
  expect(calls).toEqual([true, false]);
  serve(start, 3000);
  expect(calls).toEqual([true, false]);
});

test('it may be ended twice, and without having begun, at nobody else’s expense', () => {
  const [one, other, third] = [guest(), guest(), guest()];
  one.begin();
  other.begin();
  one.end();
  one.end();
  third.end();
  expect(calls).toEqual([true]);
  other.end();
  other.end();
  expect(calls).toEqual([true, false]);
});

test('a front-end that starts over again and again gets no other one for a minute', () => {
  const start = guest();
  start.begin();
  serve(start, 1000);
  start.begin();
  serve(start, 24);
  expect(calls).toEqual([true, false]);
  vi.advanceTimersByTime(59_999);
  start.begin();
  expect(calls).toEqual([true, false]);
  vi.advanceTimersByTime(1);
  start.begin();
  expect(calls).toEqual([true, false, true]);
  vi.advanceTimersByTime(3000);
  expect(calls).toEqual([true, false, true, false]);
});
