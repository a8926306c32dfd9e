/**
 * Deadlines for others that are not missed because this process was held up: on a busy host everything that the other side has sent
 * may lie unread for longer than it may take.
 */

/** A deadline is this many waits. One that took far longer than it should counts as one, and after each what has arrived is read. */
export const parts = 10;

/**
 * Calls back once this process has been able to wait for so many milliseconds.
 * @param milliseconds positive
 * @returns what cancels it
 */
export function onDeadline(milliseconds: number, missed: () => void): () => void {
  let left = parts;
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    timer = setTimeout(() => {
      left -= 1;
      if (left > 0) wait();
      else missed();
    }, milliseconds / parts);
  };
  wait();
  return () => clearTimeout(timer);
}

/** A signal that is aborted with the deadline, and what cancels it. */
export function deadlineSignal(milliseconds: number): {
  readonly signal: AbortSignal;
  readonly cancel: () => void;
} {
  const controller = new AbortController();
  return { signal: controller.signal, cancel: onDeadline(milliseconds, () => controller.abort()) };
}
