import { PcibackError } from '../../errors.ts';
import type { Attempt } from '../facts.ts';

/** What came of asking. Errors that nobody expected are not hidden. */
export async function attempt<T>(ask: () => T | Promise<T>): Promise<Attempt<T>> {
  try {
    return { ok: true, value: await ask() };
  } catch (error) {
    if (!(error instanceof PcibackError)) throw error;
    return { ok: false, error };
  }
}
