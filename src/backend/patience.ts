import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Milliseconds that the start and the end of a daemon wait for what the kernel may take as long as it likes for: a driver that lets go, a
 * reset. It is twice what a guest has to close its side.
 */
export const kernelPatience = 10_000;

/**
 * Waits for work whose end the kernel may keep to itself, at most so many milliseconds, and no longer than until `signal` is aborted. The
 * work goes on in any case.
 * @returns whether it has ended
 * @throws what the work is rejected with
 */
export async function waitAtMost(
  milliseconds: number,
  work: Promise<unknown>,
  signal?: AbortSignal,
): Promise<boolean> {
  const over = new AbortController();
  const limits = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  const patience = sleep(milliseconds, false, { signal: limits }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), patience]);
  } finally {
    over.abort();
  }
}
