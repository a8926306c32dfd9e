import { expect, test } from 'vitest';
import { benchRing } from '../../src/bench/ring.ts';

test('both back-ends answer every request of a guest process', async () => {
  const requests = 5000;
  const { javascript, native, ratio } = await benchRing(requests);
  for (const figures of [javascript, native]) {
    expect(figures).toMatchObject({ requests, answered: requests, lost: 0 });
    expect(figures.requestsPerSecond).toBeCloseTo(requests / figures.seconds);
    expect(figures.median).toBeLessThanOrEqual(figures.p99);
  }
  expect(ratio).toBeCloseTo(javascript.requestsPerSecond / native.requestsPerSecond);
  // The notification, and now and then a sleep.
  expect(javascript.systemCallsPerRequest).toBeGreaterThanOrEqual(1);
  expect(javascript.systemCallsPerRequest).toBeLessThan(4);
}, 60_000);
