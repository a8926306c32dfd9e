import { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import { program } from '../package.ts';

type LoadBalancer = NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer'];
type PiscinaWorker = Parameters<NonNullable<LoadBalancer>>[1][number];

/** Threads that have begun to end, by `threadId`: they take tasks still, and do nothing with them. */
export const endingThreads = new Set<number>();

/**
 * The worker threads. A guest is one task that lasts as long as the guest, so none of Piscina's assumptions about short
 * tasks hold:
 * - many tasks share a thread, and its event loop has to turn all the time: no `Atomics.wait` between tasks;
 * - an idle worker is kept, since the next guest should not wait for a thread to start;
 * - a new task goes to the worker with the fewest, as it does by default, but neither to one that dies nor to one that is still being
 *   loaded to take its place: a guest waits.
 */
export function makePool(
  workers: number,
  filename = program('guest-worker').href,
): Piscina<WorkerTask, void> {
  const loaded = new Set<number>();
  const mayServe = ({ id }: PiscinaWorker): boolean => loaded.has(id) && !endingThreads.has(id);
  const pool = new Piscina<WorkerTask, void>({
    filename,
    minThreads: workers,
    maxThreads: workers,
    concurrentTasksPerWorker: 4096,
    idleTimeout: Number.POSITIVE_INFINITY,
    atomics: 'disabled',
    recordTiming: false,
    loadBalancer: (_task, threads) =>
      threads
        .filter(mayServe)
        .reduce<PiscinaWorker | null>(
          (least, each) => (least && least.currentUsage <= each.currentUsage ? least : each),
          null,
        ),
  });
  // Those of the beginning count as loaded: nobody is there whom to prefer.
  for (const { threadId } of pool.threads) loaded.add(threadId);
  pool.on('workerCreate', ({ id }: PiscinaWorker) => loaded.add(id));
  // A worker that cannot be loaded or dies is reported by the tasks it had; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}
