import { expect, test } from 'vitest';
import { formatPermission, parsePermission } from '../../src/xenstore/permission.ts';

test('an entry is a letter and a decimal domain id', () => {
  expect(parsePermission('r5')).toEqual({ letter: 'r', domid: 5 });
  expect(formatPermission({ letter: 'b', domid: 32751 })).toBe('b32751');
});

test.each(['', 'r', '5', 'x5', 'r-1', 'r+1', 'r5 ', ' r5', 'r0x5', 'r1e3', 'R5', 'r123456'])(
  '%j is none',
  (text) => {
    expect(parsePermission(text)).toBeUndefined();
  },
);
