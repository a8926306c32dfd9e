/**
 * The list of functions to take from the host's drivers: the union of what Linux reads from `xen-pciback.hide=` and
 * NetBSD from `pciback.hide=`, with blanks and commas allowed between the entries.
 *
 *     list  = { separator | "(" address ")" | address }
 *     address = [segment:]bus:device.function | [segment:]bus:device.* | [segment:]bus:*.*
 *
 * Linux seizes nothing at all when one entry is wrong, NetBSD leaves its back-end unregistered. Here every wrong entry is
 * named and all the others count.
 */
import type { Sbdf } from '../address.ts';
import { isProblem, patternMatches, scanAddress, type AddressPattern } from './address-text.ts';
import { problem, shifted, type Problem } from './problem.ts';

export interface HideEntry {
  readonly pattern: AddressPattern;
  /** Where the entry stands, its parentheses included. */
  readonly at: number;
  readonly length: number;
}

export interface HideList {
  readonly entries: readonly HideEntry[];
  /** One per entry that counts for nothing. */
  readonly problems: readonly Problem[];
}

const form = 'an entry looks like (03:00.0), (0000:03:00.0), (03:00.*) or (03:*.*)';

/** An entry as far as parentheses, blanks and commas tell; one that is not closed ends where the next can begin. */
const token = /\((?<closed>[^()]*)\)|(?<open>\(\s*[^\s,()]*)|(?<bare>[^\s,(]+)/g;

function readAddress(written: string): AddressPattern | Problem {
  const address = written.trim();
  const first = written.indexOf(address);
  if (address === '') return problem(0, written.length, 'the entry is empty', form);
  const scanned = scanAddress(address, 0, address.length, 'device');
  if (isProblem(scanned)) return shifted(scanned, first);
  if (scanned.end === address.length) return scanned.pattern;
  const tail = address.slice(scanned.end);
  return problem(first + scanned.end, tail.length, `'${tail}' after the address means nothing`, form);
}

/**
 * Reads a list. Never throws. With `offset`, the list is part of a larger text that it begins in at that place, and the
 * positions are those of the larger text.
 */
export function parseHideList(text: string, offset = 0): HideList {
  const entries: HideEntry[] = [];
  const problems: Problem[] = [];
  for (const { 0: written, index, groups = {} } of text.matchAll(token)) {
    const at = offset + index;
    if (groups['open'] !== undefined) {
      problems.push(problem(at, written.length, `the parenthesis of '${written}' is not closed`, form));
      continue;
    }
    // Linux's scanf skips blanks before the numbers, so `( 03:00.0)` is an entry there too.
    const pattern = readAddress(groups['closed'] ?? groups['bare'] ?? '');
    if (!isProblem(pattern)) entries.push({ pattern, at, length: written.length });
    else problems.push(shifted(pattern, at + (groups['closed'] === undefined ? 0 : 1)));
  }
  return { entries, problems };
}

/** Which of the host's functions a list names, each once and in the host's order, and the entries that name none. */
export function matchHideList(
  entries: readonly HideEntry[],
  functions: readonly Sbdf[],
): { readonly functions: readonly Sbdf[]; readonly unmatched: readonly HideEntry[] } {
  const matched = functions.filter((sbdf) => entries.some(({ pattern }) => patternMatches(pattern, sbdf)));
  const unmatched = entries.filter(({ pattern }) => !functions.some((sbdf) => patternMatches(pattern, sbdf)));
  return { functions: matched, unmatched };
}
