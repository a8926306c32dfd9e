/**
 * Texts that somebody else wrote - a guest, a file, xenstore, sysfs, the message of an error -, made fit for a terminal, and for the eyes
 * of whoever reads there: no character of them moves the cursor, turns the direction of writing, is invisible, or begins a line.
 */

/** Controls, formats, lone surrogates, private and unassigned characters, ends of lines, and what is not to be seen. */
const unsafe = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** More marks than any language puts on one letter: a tower of them covers the lines above. */
const towers = /(\p{M}{4})(\p{M}+)/gu;

const isAscii = (text: string): boolean => /^[ -~]*$/.test(text);

/** The text on one line, with a question mark for each character that must not be printed. The same text again if it is plain already. */
export const plain = (text: string): string =>
  isAscii(text) ? text : text.replace(unsafe, '?').replace(towers, '$1');

const escaped = (text: string): string =>
  Array.from(
    { length: text.length },
    (_, index) => String.raw`\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`,
  ).join('');

/** A line of JSON, as it was for a program, with what must not be printed escaped. */
const escapeLine = (line: string): string =>
  isAscii(line)
    ? line
    : line.replace(unsafe, escaped).replace(towers, (_, few: string, more: string) => few + escaped(more));

/** JSON of a value on one line. */
export const plainJson = (value: unknown): string => escapeLine(JSON.stringify(value));

/** The same spread out for people, line by line. */
export const plainJsonLines = (value: unknown): readonly string[] =>
  JSON.stringify(value, null, 2).split('\n').map(escapeLine);

const wide =
  /^[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]$/u;

/** Columns that a plain character takes on a terminal. */
const columnsOfCharacter = (character: string): number =>
  /^\p{M}$/u.test(character) ? 0 : wide.test(character) ? 2 : 1;

/** Columns that a plain text takes on a terminal. */
export const columnsOf = (text: string): number =>
  isAscii(text)
    ? text.length
    : Array.from(text).reduce((sum, character) => sum + columnsOfCharacter(character), 0);

/** The plain text if it fits in so many columns, else its beginning with an ellipsis. */
export function cutToColumns(text: string, most: number): string {
  if (columnsOf(text) <= most) return text;
  let shown = '';
  let columns = 1;
  for (const character of text) {
    columns += columnsOfCharacter(character);
    if (columns > most) break;
    shown += character;
  }
  return `${shown}…`;
}
