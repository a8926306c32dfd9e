import { setTimeout as sleep } from 'node:timers/promises';

/** Looks every few milliseconds, for things that nobody announces; gives up after `patience` milliseconds. */
export async function until(condition: () => boolean, patience: number): Promise<void> {
  const end = performance.now() + patience;
  while (!condition() && performance.now() < end) await sleep(5);
}
