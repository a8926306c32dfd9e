import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { formatNumber } from '../../../src/host/uses/processes.ts';

it('spells a device number as sysfs does', () => {
  expect(formatNumber(statSync('/dev/null').rdev)).toBe('1:3');
  expect(formatNumber(0x1_0300)).toBe('259:0');
  expect(formatNumber(0x10_082c)).toBe('8:300');
});
