import { defineConfig } from 'vitest/config';
import { longest, patience } from './test/bounds.ts';

// Suites that need more than a fresh machine (real xenstored, Xen under QEMU) have scripts and configurations of their own.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/xen/**', 'test/xenstored/**'],
    testTimeout: longest,
    hookTimeout: longest,
    expect: { poll: { timeout: patience, interval: 20 } },
    // More than there are processors: half of the files wait for processes most of the time.
    maxWorkers: 3,
  },
});
