import { defineConfig } from 'vitest/config';
import { longest, patience } from './test/bounds.ts';

const include = ['test/**/*.test.ts'];
/** These count memory, and would count that of other files as well. */
const alone = [
  'test/ring/operations.test.ts',
  'test/config-space/filter.test.ts',
  'test/monitor/control-stream.test.ts',
];

/** Campaigns: every fault in every place, every order of events. `npm run test:long` runs them. */
const long = [
  'test/backend/kernel-race/*.test.ts',
  'test/cli/{state-directory,unwritable}.test.ts',
  'test/foreign/whole-life.test.ts',
  'test/integration/{deaf,event-budget,full-disk,hanging-reset,state-faults,waits}.test.ts',
  'test/xenstore/server/fairness.test.ts',
];

// Suites that need more than a fresh machine (real xenstored, Xen under QEMU) have scripts and configurations of their own.
const others = ['test/xen/**', 'test/xenstored/**'];

export default defineConfig({
  test: {
    projects: [
      // Files leave nothing behind that another could see, and half of the time would go into loading the same sources for each.
      {
        extends: true,
        test: { name: 'together', include, exclude: [...others, ...alone, ...long], isolate: false },
      },
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'long', include: long, isolate: false } },
    ],
    testTimeout: longest,
    hookTimeout: longest,
    expect: { poll: { timeout: patience, interval: 20 } },
    // More than there are processors: half of the files wait for processes most of the time.
    maxWorkers: 4,
  },
});
