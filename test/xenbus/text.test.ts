import { describe, expect, test } from 'vitest';
import { parseDecimal, quote } from '../../src/xenbus/index.ts';

describe('a number', () => {
  test.each([
    ['0', 0],
    ['7', 7],
    ['4294967295', 0xffff_ffff],
    ['12\0', 12],
  ])('%j is %i', (text, value) => {
    expect(parseDecimal(text, 0xffff_ffff)).toBe(value);
  });

  test.each([
    '',
    ' 7',
    '7 ',
    '7\n',
    '+7',
    '-7',
    '007',
    '0x7',
    '7e2',
    '7.0',
    '../7',
    '7/..',
    '\0',
    '7\0\0',
    '٧',
  ])('is not %j: what a guest wrote becomes part of paths', (text) => {
    expect(parseDecimal(text, 0xffff_ffff)).toBeUndefined();
  });

  test('is not larger than it may be', () => {
    expect(parseDecimal('32751', 32_751)).toBe(32_751);
    expect(parseDecimal('32752', 32_751)).toBeUndefined();
    expect(parseDecimal('4294967296', 0xffff_ffff)).toBeUndefined();
    expect(parseDecimal(undefined, 7)).toBeUndefined();
  });
});

test('a text is short in a message, whatever somebody wrote', () => {
  expect(quote('7')).toBe('"7"');
  expect(quote('x'.repeat(100_000)).length).toBeLessThan(50);
  const shown = quote('a\nb\u001b[31m');
  for (const control of ['\n', '\u001b']) expect(shown).not.toContain(control);
});
