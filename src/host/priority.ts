import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { nativeAddon } from './native.ts';

const highest = -20;
const lowest = 19;

/**
 * Gives the main thread of this process a priority (setpriority(2)), and moves every other by as much: to Linux it is a thread's own.
 * Those to come inherit it.
 */
export function setPriorityOfThreads(priority: number): void {
  const by = priority - getPriority(process.pid);
  for (const thread of readdirSync('/proc/self/task').map(Number)) {
    try {
      setPriority(thread, Math.min(Math.max(getPriority(thread) + by, highest), lowest));
    } catch {
      // It has ended meanwhile, or we are not allowed to: then it stays as it is.
    }
  }
}

/**
 * Schedules the calling thread before everything else in this domain, or again like the rest; false where that is not allowed. What goes
 * ahead has to end that soon: nothing else on its processor gets on until it sleeps.
 */
export const goAhead = (isAhead: boolean): boolean => nativeAddon().goAhead(isAhead);
