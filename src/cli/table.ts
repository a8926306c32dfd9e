/** A cell is a text, or a text with a style that does not count for the width. */
export type Cell = string | { readonly text: string; readonly styled: string };

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.text);
const styledOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.styled);

/**
 * Lines with the columns under each other, two blanks apart. With `width`, the last column is cut where the line would
 * become longer than that.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[column] ?? '').length)),
  );
  const lead = widths.slice(0, -1).reduce((sum, each) => sum + each + 2, 0);
  const last = Math.max(width - lead, 8);
  const line = (row: readonly Cell[]): string =>
    header
      .map((_, column) => {
        const cell = row[column] ?? '';
        const text = textOf(cell);
        if (column < header.length - 1)
          return styledOf(cell) + ' '.repeat((widths[column] ?? 0) - text.length);
        return text.length > last ? `${text.slice(0, last - 1)}…` : styledOf(cell);
      })
      .join('  ')
      .trimEnd();
  return [header, ...rows].map(line).join('\n');
}
