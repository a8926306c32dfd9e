/**
 * How long tests wait. A bound is for what never comes, not for what comes late: other programs may keep every processor
 * busy, and then everything takes ten times as long. No test has a bound of its own that is tighter.
 */

/** Milliseconds to wait for one thing. Nothing takes this long, so what is missing after it does not come. */
export const patience = 60_000;

/** Milliseconds for a whole test, or for a hook. */
export const longest = 300_000;

/** Milliseconds in which something is repeated often enough, by a machine that cannot do it as often as the test would like. */
export const often = 10_000;

/**
 * Milliseconds after which a step is given up that is meant to be given up, where the test has to do something within that
 * step first. What never happens at all needs no time, and may have a shorter bound.
 */
export const impatience = 2_000;

/** Rejects, saying what was waited for, when that takes too long. */
export async function within<T>(wanted: Promise<T>, what: () => string): Promise<T> {
  let alarm: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    alarm = setTimeout(() => reject(new Error(`waited in vain for ${what()}`)), patience);
  });
  try {
    return await Promise.race([wanted, late]);
  } finally {
    clearTimeout(alarm);
  }
}
