/**
 * The entry point of the worker threads. One that takes the place of a thread that died loads while another goes on with the guests of
 * that one: they come first.
 */
import { getPriority, setPriority } from 'node:os';

/** A tenth of the weight of the others (sched(7)). */
const stepsBack = 10;

/** Linux has priorities by thread, and 0 names the one that asks. Only root may take back what it has given up. */
async function withLessPriority<T>(load: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return load();
  const present = getPriority(0);
  setPriority(0, Math.min(present + stepsBack, 19));
  try {
    return await load();
  } finally {
    setPriority(0, present);
  }
}

export default (await withLessPriority(() => import('./tasks.ts'))).default;
