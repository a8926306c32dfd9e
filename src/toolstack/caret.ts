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
export function showProblem(text: string, { at, length, what, remedy }: Problem, source: string): string {
  const before = text.slice(0, at);
  const row = before.split('\n').length;
  const lineStart = before.lastIndexOf('\n') + 1;
  const lineEnd = text.indexOf('\n', at);
  const line = text.slice(lineStart, lineEnd < 0 ? text.length : lineEnd);
  const column = at - lineStart;

  const from = Math.max(0, Math.min(column - window / 2, line.length - window));
  const shown = line.slice(from, from + window);
  // Tabs stay tabs in front of the caret, so that it stands under its character whatever their width.
  const padding = shown.slice(0, column - from).replace(/[^\t]/g, ' ');
  const marked = Math.max(1, Math.min(length, shown.length - (column - from)));
  return [
    `${source}:${row}:${column + 1}: ${what}; ${remedy}`,
    `  ${from > 0 ? '...' : ''}${shown}${from + window < line.length ? '...' : ''}`,
    `  ${from > 0 ? '   ' : ''}${padding}${'^'.repeat(marked)}`,
  ].join('\n');
}
