/** Texts as hostile as a guest can write them, and what no printed text may hold. */
import fc from 'fast-check';

/** What moves the cursor, turns the direction of writing, is invisible, or is no character; range by range, as the standards list them. */
const forbidden: readonly (readonly [first: number, last: number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xfffb],
  [0xfffe, 0xffff],
  [0x1_bca0, 0x1_bca3],
  [0x1_d173, 0x1_d17a],
  [0xe_0000, 0xe_0fff],
  [0xf_0000, 0x10_ffff],
];

/** The code points of a text that may not be printed. */
export const forbiddenIn = (text: string): readonly string[] =>
  Array.from(text, (character) => character.codePointAt(0) ?? 0)
    .filter((code) => forbidden.some(([first, last]) => code >= first && code <= last))
    .map((code) => code.toString(16));

const codeOf = (code: number): string =>
  code < 0x1_0000 ? String.fromCharCode(code) : String.fromCodePoint(code);

/** Characters of all kinds, half of them forbidden, lone surrogates among them. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(...forbidden).chain(([min, max]) => fc.integer({ min, max }).map(codeOf)),
      fc.integer({ min: 0, max: 0x10_ffff }).map(codeOf),
      fc.constantFrom(
        '\u001b[31m',
        '\u009b31m',
        '\u001b]0;title\u0007',
        '\r\n',
        'a\u0301'.padEnd(40, '\u0301'),
      ),
      fc.string(),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''));
