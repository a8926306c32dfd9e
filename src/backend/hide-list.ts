import { type Sbdf, formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import { matchHideList, parseHideList } from '../toolstack/index.ts';
import { kernelPatience, waitAtMost } from './patience.ts';

/** The functions of the host that a hide list names, and what is wrong with it: the rest of the list counts. */
export function functionsToHide(
  hide: string,
  present: readonly Sbdf[],
): { readonly functions: readonly Sbdf[]; readonly warnings: readonly BackendEvent[] } {
  const { entries, problems } = parseHideList(hide);
  const { functions, unmatched } = matchHideList(entries, present);
  const mistakes = problems.map(({ at, what, remedy }) =>
    makeEvent('warning', { reason: 'BAD-SPEC', message: `hide list, column ${at + 1}: ${what}`, remedy }),
  );
  const strangers = unmatched.map(({ at, length }) =>
    makeEvent('warning', {
      reason: 'NO-SUCH-FUNCTION',
      message: `hide list: ${hide.slice(at, at + length)} names no function of this host`,
      remedy: 'see pciback list',
    }),
  );
  return { functions, warnings: [...mistakes, ...strangers] };
}

/**
 * Hides functions, each for itself: a driver may take as long as it likes to let one go, and neither the others nor the end of the daemon
 * are to wait for it. What keeps one from being hidden is told.
 */
export async function hideAll(
  functions: readonly Sbdf[],
  hide: (sbdf: Sbdf) => Promise<unknown>,
  emit: (event: BackendEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const pending = new Set(functions);
  const warn = (sbdf: Sbdf, error: unknown): void =>
    emit(makeEvent('warning', { sbdf, ...failureDetails(error) }));
  const work = functions.map(async (sbdf) => {
    try {
      await hide(sbdf);
    } catch (error) {
      warn(sbdf, error);
    } finally {
      pending.delete(sbdf);
    }
  });
  if (await waitAtMost(kernelPatience, Promise.all(work), signal)) return;
  for (const sbdf of pending) warn(sbdf, notLetGo(sbdf));
}

const notLetGo = (sbdf: Sbdf): PcibackError =>
  new PcibackError(
    'TIMED-OUT',
    `${formatSbdf(sbdf)} is not hidden yet: its driver does not let go of it`,
    'wait until it does; the kernel log (dmesg) may tell why',
  );
