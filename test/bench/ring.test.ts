import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { benchRing } from '../../src/bench/ring.ts';

test('all back-ends answer every request of a guest process', async () => {
  const requests = 5000;
  const { javascript, plain, native, ratio, plainRatio } = await benchRing({ requests });
  for (const figures of [javascript, plain, native]) {
    expect(figures).toMatchObject({ requests, answered: requests, lost: 0 });
    expect(figures.requestsPerSecond).toBeCloseTo(requests / figures.seconds);
    expect(figures.median).toBeLessThanOrEqual(figures.p99);
  }
  expect(ratio).toBeCloseTo(javascript.requestsPerSecond / native.requestsPerSecond);
  expect(plainRatio).toBeCloseTo(plain.requestsPerSecond / native.requestsPerSecond);
  // The notification, and now and then a sleep.
  expect(javascript.systemCallsPerRequest).toBeGreaterThanOrEqual(1);
  expect(javascript.systemCallsPerRequest).toBeLessThan(4);
});

test('a benchmark that is interrupted leaves nothing behind', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-'));
  vi.stubEnv('TMPDIR', directory);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true });
  });
  const interruption = new AbortController();
  const running = benchRing({ requests: 100_000_000, signal: interruption.signal });
  setTimeout(() => interruption.abort(new Error('interrupted')), 1500);
  await expect(running).rejects.toThrow('interrupted');
  expect(readdirSync(directory).filter((name) => name.startsWith('pciback-'))).toEqual([]);
});
