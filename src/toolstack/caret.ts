import { columnsOf, plain } from '../text.ts';
import type { Problem } from './problem.ts';

/** As much of a line as is shown around a mistake; command lines of kernels grow long. */
const window = 100;

/**
 * Three lines that show a mistake where it is:
 *
 *     guest.cfg:4:14: there is no function 8; function numbers go from 0 to 7
 *       pci = [ '03:00.8' ]
 *                      ^
 *
 * @param source name of the file, or of the option the text came from
 */
export function showProblem(
  text: string,
  { at, length, what, remedy }: Problem,
  source: string,
): readonly string[] {
  const before = text.slice(0, at);
  const row = before.split('\n').length;
  const lineStart = before.lastIndexOf('\n') + 1;
  const lineEnd = text.indexOf('\n', at);
  const line = text.slice(lineStart, lineEnd < 0 ? text.length : lineEnd);
  const column = at - lineStart;

  const from = Math.max(0, Math.min(column - window / 2, line.length - window));
  const shown = line.slice(from, from + window);
  const start = column - from;
  // Columns count, not characters: some take two columns of a terminal, some none.
  const padding = ' '.repeat(columnsOf(flat(shown.slice(0, start))));
  const marked = Math.max(1, columnsOf(flat(shown.slice(start, start + length))));
  return [
    `${source}:${row}:${column + 1}: ${what}; ${remedy}`,
    `  ${from > 0 ? '...' : ''}${flat(shown)}${from + window < line.length ? '...' : ''}`,
    `  ${from > 0 ? '   ' : ''}${padding}${'^'.repeat(marked)}`,
  ];
}

/** As it is printed: a tab, whose width nobody knows, is one blank. */
const flat = (text: string): string => plain(text.replaceAll('\t', ' '));
