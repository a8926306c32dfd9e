import {
  type NodeGCPerformanceDetail,
  type PerformanceEntry,
  PerformanceObserver,
  constants,
} from 'node:perf_hooks';
import { runInNewContext } from 'node:vm';
import { expect, onTestFinished, test } from 'vitest';
import { collectSoon } from '../../src/backend/garbage.ts';

/** What Node says of a collection, and its types do not. */
type Collection = PerformanceEntry & { readonly detail: NodeGCPerformanceDetail };

/** The next collection that somebody asks for. */
function nextForced(): Promise<NodeGCPerformanceDetail> {
  return new Promise((resolve) => {
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as Collection[]) {
        if (detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) resolve(detail);
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    onTestFinished(() => observer.disconnect());
  });
}

test('only the young generation is collected, every time', async () => {
  for (let time = 0; time < 2; time += 1) {
    const collected = nextForced();
    collectSoon();
    expect((await collected).kind).toBe(constants.NODE_PERFORMANCE_GC_MINOR);
  }
});

test('nobody else can collect because of that', () => {
  collectSoon();
  expect(globalThis).not.toHaveProperty('gc');
  expect(runInNewContext('typeof gc')).toBe('undefined');
});
