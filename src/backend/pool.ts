import { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import { program } from '../package.ts';

/**
 * The worker threads. A guest is one task that lasts as long as the guest, so none of Piscina's assumptions about short
 * tasks hold:
 * - many tasks share a thread, and its event loop has to turn all the time: no `Atomics.wait` between tasks;
 * - an idle worker is kept, since the next guest should not wait for a thread to start;
 * - a new task goes to the worker with the fewest, which is Piscina's own balancing.
 */
export function makePool(workers: number): Piscina<WorkerTask, void> {
  const pool = new Piscina<WorkerTask, void>({
    filename: program('guest-worker').href,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: 4096,
    idleTimeout: Number.POSITIVE_INFINITY,
    atomics: 'disabled',
    recordTiming: false,
  });
  // A worker that cannot be loaded or dies is reported by the tasks it had; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}
