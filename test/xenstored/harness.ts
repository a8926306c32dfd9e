/** A test runner for what runs in sequence against processes outside. */
import { inspect } from 'node:util';

let passed = 0;
let failed = 0;

const patienceMs = 60_000;

/** Runs one check and says how it went. A failure does not end the others. */
export async function check(name: string, body: () => Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${patienceMs / 1000} s`)), patienceMs);
    });
    await Promise.race([body(), tooLong]);
    passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${inspect(error).replace(/^/gm, '        ')}`);
  } finally {
    clearTimeout(timer);
  }
}

export function summarise(): { passed: number; failed: number } {
  console.log(`${passed} passed, ${failed} failed`);
  return { passed, failed };
}
