import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnsOf, cutToColumns, plain, plainJson, plainJsonLines } from '../src/text.ts';
import { forbiddenIn, hostileText } from './texts.ts';

const mostMarks = /\p{M}{5}/u;

describe('a plain text', () => {
  it('holds nothing that a terminal obeys, that turns the writing or that is not to be seen', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        expect(forbiddenIn(plain(text))).toEqual([]);
        expect(plain(text)).not.toMatch(mostMarks);
        expect(plain(plain(text))).toBe(plain(text));
      }),
    );
  });

  it('is what it was where nothing speaks against it', () => {
    for (const text of ['', 'web-1 (2)', 'Müller', '中文', 'ไทยกำ', 'हिन्दी', '😀', 'شبكة', '→ …'])
      expect(plain(text)).toBe(text);
  });

  it.each([
    ['a\u009b31mb', 'a?31mb'],
    ['\u202egpj.exe', '?gpj.exe'],
    ['a\nb\tc', 'a?b?c'],
    ['\u{e0041}', '?'],
    ['\ud83d', '?'],
    [`a${'\u0301'.repeat(100)}b`, `a${'\u0301'.repeat(4)}b`],
  ])('of %j is %j', (text, shown) => {
    expect(plain(text)).toBe(shown);
  });
});

describe('printed JSON', () => {
  it('means what it meant, and holds nothing of that either', () => {
    fc.assert(
      fc.property(fc.dictionary(hostileText, fc.array(hostileText)), (value) => {
        const meant = JSON.parse(JSON.stringify(value)) as unknown;
        expect(JSON.parse(plainJson(value))).toEqual(meant);
        expect(JSON.parse(plainJsonLines(value).join('\n'))).toEqual(meant);
        expect(forbiddenIn(plainJson(value))).toEqual([]);
        expect(plainJsonLines(value).flatMap(forbiddenIn)).toEqual([]);
        expect(plainJson(value)).not.toMatch(mostMarks);
      }),
    );
  });

  it('escapes what JSON would let through', () => {
    expect(plainJson(['\u007f\u009b\u202e\u2028\u{e0041}'])).toBe(
      String.raw`["\u007f\u009b\u202e\u2028\udb40\udc41"]`,
    );
  });
});

describe('columns', () => {
  it.each([
    ['abc', 3],
    ['e\u0301', 1],
    ['中文', 4],
    ['😀', 2],
    ['ａ', 2],
  ])('of %j are %i', (text, columns) => {
    expect(columnsOf(text)).toBe(columns);
  });

  it('are not exceeded by what is cut to them', () => {
    fc.assert(
      fc.property(hostileText, fc.integer({ min: 1, max: 40 }), (text, most) => {
        const cut = cutToColumns(plain(text), most);
        expect(columnsOf(cut)).toBeLessThanOrEqual(most);
        expect(forbiddenIn(cut)).toEqual([]);
      }),
    );
  });
});
