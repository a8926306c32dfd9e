import type { Sbdf } from '../address.ts';
import { type BackendEvent, makeEvent } from '../monitor/events.ts';
import { matchHideList, parseHideList } from '../toolstack/index.ts';

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
