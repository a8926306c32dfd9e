import { defineConfig } from 'vitest/config';

// Suites that need more than a fresh machine (real xenstored, Xen under QEMU) have scripts and configurations of their own.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/xen/**', 'test/xenstored/**'],
    // Bounds for what would never end, not for what is slow: other programs may keep the processors busy.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000, interval: 20 } },
    // More than there are processors: half of the files wait for processes most of the time.
    maxWorkers: 3,
  },
});
