import { expect, it } from 'vitest';
import { showProblem } from '../../src/toolstack/caret.ts';
import { problem } from '../../src/toolstack/problem.ts';

it('puts the caret under the mistake', () => {
  const text = "name = 'web'\npci = [ '03:00.8' ]\n";
  expect(showProblem(text, problem(28, 1, 'there is no function 8', 'write 0 to 7'), 'web.cfg')).toBe(
    [
      'web.cfg:2:16: there is no function 8; write 0 to 7',
      "  pci = [ '03:00.8' ]",
      '                 ^',
    ].join('\n'),
  );
});

it('marks all of a longer mistake, but not beyond its line', () => {
  const text = '(03:00.0\n(04:00.0)';
  expect(showProblem(text, problem(0, 14, 'not closed', 'close it'), 'LIST').split('\n')[2]).toBe(
    '  ^^^^^^^^',
  );
});

it('points behind the text when something is missing there', () => {
  expect(
    showProblem('03:00', problem(5, 0, 'missing', 'write it'), 'SPEC')
      .split('\n')
      .slice(1),
  ).toEqual(['  03:00', '       ^']);
});

it('keeps tabs, so that the caret stands right whatever their width', () => {
  expect(showProblem("\t'03:0'", problem(4, 1, 'w', 'r'), 'f').split('\n')[2]).toBe('  \t   ^');
});

it('shows a part of a very long line', () => {
  const text = `${'a'.repeat(300)}X${'b'.repeat(300)}`;
  const [head, line = '', caret = ''] = showProblem(text, problem(300, 1, 'w', 'r'), 'f').split('\n');
  expect(head).toBe('f:1:301: w; r');
  expect(line.length).toBeLessThan(120);
  expect(line.charAt(caret.indexOf('^'))).toBe('X');
});
