/**
 * What a boot loader hands to a kernel, as far as it concerns PCI passthrough: `xen-pciback.hide=` and
 * `xen-pciback.passthrough=` of Linux, `pciback.hide=` of NetBSD, which compares the key without regard to case.
 */
import { parseHideList, type HideEntry, type HideList } from './hide-list.ts';
import { problem, type Problem } from './problem.ts';

/** One word of a command line, quotes taken off. */
export interface Parameter {
  /** Offset of the word in the text, and of its value when it has one. */
  readonly at: number;
  readonly key: string;
  readonly value: string | undefined;
  readonly valueAt: number;
}

/**
 * Splits a command line as Linux does: blanks separate, double quotes keep blanks together and may stand around a value or
 * around the whole word; what follows a lone `--` is for init.
 */
export function splitCommandLine(text: string, offset = 0): readonly Parameter[] {
  const parameters: Parameter[] = [];
  for (const { 0: word, index } of text.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) {
    if (word === '--') break;
    const whole = word.startsWith('"') ? 1 : 0;
    const equals = word.indexOf('=');
    const key = equals < 0 ? word : word.slice(whole, equals);
    const opening = equals >= 0 && word.charAt(equals + 1) === '"' ? 1 : 0;
    const from = equals + 1 + opening;
    const value = equals < 0 ? undefined : word.slice(from).replace(/"$/, '');
    parameters.push({ at: offset + index, key, value, valueAt: offset + index + from });
  }
  return parameters;
}

/** Which kernel's back-end reads a `hide` parameter. Linux takes `-` and `_` in a key for the same. */
type Reader = 'Linux' | 'NetBSD';

function readerOf(key: string): Reader | undefined {
  if (key.replaceAll('_', '-') === 'xen-pciback.hide') return 'Linux';
  return key.toLowerCase() === 'pciback.hide' ? 'NetBSD' : undefined;
}

/** A list that this program reads and the kernel it was written for would not, or not wholly. */
function kernelWarnings(reader: Reader, value: string, valueAt: number, list: HideList): readonly Problem[] {
  const warnings: Problem[] = [];
  // Linux: a character outside the parentheses fails the whole driver. NetBSD stops there and never registers its back-end.
  const foreign = value
    .replace(/\([^)]*\)/g, (entry) => ' '.repeat(entry.length))
    .search(reader === 'Linux' ? /[^\s]/ : /[^ ]/);
  if (foreign >= 0) {
    const effect = reader === 'Linux' ? 'hides nothing at all' : 'offers no passthrough at all';
    warnings.push(
      problem(
        valueAt + foreign,
        1,
        `with this character ${reader}'s own back-end ${effect}`,
        'write (03:00.0)(04:00.0)',
      ),
    );
  }
  if (reader === 'NetBSD') {
    for (const { pattern, at, length } of list.entries) {
      if (pattern.segment === 0 && pattern.fn !== null) continue;
      warnings.push(
        problem(
          at,
          length,
          'NetBSD knows neither * nor segments and skips this entry',
          'write each function out',
        ),
      );
    }
    if (value.length > 63) {
      warnings.push(
        problem(
          valueAt + 63,
          value.length - 63,
          'NetBSD may cut the list off here',
          'hide about 7 functions at most',
        ),
      );
    }
  }
  return warnings;
}

export interface BootParameters {
  /** The entries of all `hide` parameters, in order. */
  readonly entries: readonly HideEntry[];
  /** `xen-pciback.passthrough`: guests see the host's own bus numbers. */
  readonly passthrough: boolean;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Reads a command line; with `offset` it is part of a larger text, whose positions are told. Never throws. */
export function parseKernelCommandLine(text: string, offset = 0): BootParameters {
  const entries: HideEntry[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  let passthrough = false;
  for (const { at, key, value, valueAt } of splitCommandLine(text, offset)) {
    const reader = readerOf(key);
    if (key.replaceAll('_', '-') === 'xen-pciback.passthrough')
      passthrough = value === undefined || /^[1yY]/.test(value);
    if (!reader) continue;
    if (value === undefined) {
      problems.push(problem(at, key.length, `${key} has no value`, `write ${key}=(03:00.0)`));
      continue;
    }
    const list = parseHideList(value, valueAt);
    entries.push(...list.entries);
    problems.push(...list.problems);
    warnings.push(...kernelWarnings(reader, value, valueAt, list));
  }
  return { entries, passthrough, problems, warnings };
}
