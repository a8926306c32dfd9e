import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';

/** Gives every thread of this process a priority (setpriority(2)): to Linux it is a thread's own. Those to come inherit it. */
export function setPriorityOfThreads(priority: number): void {
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), priority);
    } catch {
      // It has ended meanwhile, or we are not allowed to: then it stays as it is.
    }
  }
}
