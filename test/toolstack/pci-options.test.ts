import { expect, it } from 'vitest';
import { defaultPciOptions, formatOptsKey } from '../../src/toolstack/pci-options.ts';

it('writes an opts key as libxl does', () => {
  expect(formatOptsKey(defaultPciOptions)).toBe('msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict');
  expect(
    formatOptsKey({
      permissive: true,
      msitranslate: true,
      seize: true,
      powerManagement: true,
      rdmPolicy: 'relaxed',
    }),
  ).toBe('msitranslate=1,power_mgmt=1,permissive=1,rdm_policy=relaxed');
});
