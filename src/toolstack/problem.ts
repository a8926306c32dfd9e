import { PcibackError, type Reason } from '../errors.ts';

/** A mistake in a text that somebody wrote: where it is, what is wrong there and what to write instead. */
export interface Problem {
  /** Offset of the first wrong character; the length of the text when something is missing at its end. */
  readonly at: number;
  /** Number of wrong characters; 0 when something is missing. */
  readonly length: number;
  readonly what: string;
  readonly remedy: string;
}

export const problem = (at: number, length: number, what: string, remedy: string): Problem => ({
  at,
  length,
  what,
  remedy,
});

/** The same mistake after the text it was found in turned out to be part of a larger one, `by` characters in. */
export const shifted = (found: Problem, by: number): Problem => ({ ...found, at: found.at + by });

/** A mistake as an error of one line: it quotes the text and counts characters from 1, as editors do. */
export function problemError(text: string, found: Problem, reason: Reason = 'BAD-SPEC'): PcibackError {
  const where = found.at >= text.length ? 'at the end' : `at character ${found.at + 1}`;
  return new PcibackError(reason, `'${text}': ${where}: ${found.what}`, found.remedy);
}
