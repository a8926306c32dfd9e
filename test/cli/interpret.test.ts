import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** Bits of V8's %GetOptimizationStatus (src/runtime/runtime.h, OptimizationStatus) that say of machine code. */
const optimized = 1 << 4;
const baseline = 1 << 15;

/** What V8 has made of a function, after it has been called for long enough to be compiled in any way that there is. */
function made(first: string): number {
  const program = `
    import { setFlagsFromString } from 'node:v8';
    import { interpretOnly } from './src/cli/interpret.ts';
    setFlagsFromString('--allow-natives-syntax');
    ${first}
    const called = (n) => { let sum = 0; for (let i = 0; i < n; i++) sum = (sum * 31 + i) | 0; return sum; };
    const begin = performance.now();
    for (let sum = 0; performance.now() - begin < 300;) sum += called(1000);
    console.log(new Function('called', 'return %GetOptimizationStatus(called)')(called));
  `;
  const arguments_ = ['--import', 'tsx', '--input-type=module', '--eval', program];
  return Number(execFileSync(process.execPath, arguments_, { encoding: 'utf8' }));
}

test('what has run for long is still interpreted, which it would not be otherwise', () => {
  expect(made('') & (optimized | baseline)).not.toBe(0);
  expect(made('interpretOnly();') & (optimized | baseline)).toBe(0);
});
