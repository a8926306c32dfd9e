import { expect, it } from 'vitest';
import { showProblem } from '../../src/toolstack/caret.ts';
import { problem } from '../../src/toolstack/problem.ts';

it('puts the caret under the mistake', () => {
  const text = "name = 'web'\npci = [ '03:00.8' ]\n";
  expect(showProblem(text, problem(28, 1, 'there is no function 8', 'write 0 to 7'), 'web.cfg')).toEqual([
    'web.cfg:2:16: there is no function 8; write 0 to 7',
    "  pci = [ '03:00.8' ]",
    '                 ^',
  ]);
});

it('marks all of a longer mistake, but not beyond its line', () => {
  const text = '(03:00.0\n(04:00.0)';
  expect(showProblem(text, problem(0, 14, 'not closed', 'close it'), 'LIST')[2]).toBe('  ^^^^^^^^');
});

it('points behind the text when something is missing there', () => {
  expect(showProblem('03:00', problem(5, 0, 'missing', 'write it'), 'SPEC').slice(1)).toEqual([
    '  03:00',
    '       ^',
  ]);
});

it('shows a tab as a blank, so that the caret stands right whatever its width', () => {
  expect(showProblem("\t'03:0'", problem(4, 1, 'w', 'r'), 'f').slice(1)).toEqual(["   '03:0'", '      ^']);
});

it.each([
  ['a control', '\u009b31m', '?31m'],
  ['an override', '\u202e0', '?0'],
  ['what is beyond 16 bits and not to be seen', '\u{e0041}0', '?0'],
  ['half a character', '\ud8000', '?0'],
  ['a line separator', '\u20280', '?0'],
])('stands under its character behind %s', (_, before, shown) => {
  const [, line, caret] = showProblem(`${before}X`, problem(before.length, 1, 'w', 'r'), 'f');
  expect([line, caret]).toEqual([`  ${shown}X`, `  ${' '.repeat(shown.length)}^`]);
});

it('counts columns, not characters', () => {
  const [, line, caret] = showProblem('e\u0301\u4e2d\u{1f600}X', problem(5, 1, 'w', 'r'), 'f');
  expect([line, caret]).toEqual(['  e\u0301\u4e2d\u{1f600}X', `  ${' '.repeat(1 + 2 + 2)}^`]);
});

it('shows a part of a very long line', () => {
  const text = `${'a'.repeat(300)}X${'b'.repeat(300)}`;
  const [head, line = '', caret = ''] = showProblem(text, problem(300, 1, 'w', 'r'), 'f');
  expect(head).toBe('f:1:301: w; r');
  expect(line.length).toBeLessThan(120);
  expect(line.charAt(caret.indexOf('^'))).toBe('X');
});
