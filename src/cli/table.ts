import { columnsOf, cutToColumns, plain } from '../text.ts';

/** A cell is a text, or a text with a style that does not count for the width. */
export type Cell = string | { readonly text: string; readonly styled: string };

const textOf = (cell: Cell): string => plain(typeof cell === 'string' ? cell : cell.text);
const styledOf = (cell: Cell): string => (typeof cell === 'string' ? plain(cell) : cell.styled);

/** What a column is cut to, however much somebody wrote that is shown in it. */
const widest = { column: 100, last: 400 } as const;

/**
 * Lines with the columns under each other, two blanks apart. With `width`, the last column is cut where the line would
 * become longer than that. A cell that is cut loses its style.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  width = Number.POSITIVE_INFINITY,
): readonly string[] {
  const widths = header.map((title, column) =>
    Math.min(
      widest.column,
      rows.reduce((most, row) => Math.max(most, columnsOf(textOf(row[column] ?? ''))), columnsOf(title)),
    ),
  );
  const lead = widths.slice(0, -1).reduce((sum, each) => sum + each + 2, 0);
  const last = Math.min(Math.max(width - lead, 8), widest.last);
  const line = (row: readonly Cell[]): string =>
    header
      .map((_, column) => {
        const cell = row[column] ?? '';
        const isLast = column === header.length - 1;
        const room = isLast ? last : (widths[column] ?? 0);
        const text = cutToColumns(textOf(cell), room);
        const shown = text === textOf(cell) ? styledOf(cell) : text;
        return isLast ? shown : shown + ' '.repeat(room - columnsOf(text));
      })
      .join('  ')
      .trimEnd();
  return [header, ...rows].map(line);
}
