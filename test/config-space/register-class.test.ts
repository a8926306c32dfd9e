import { expect, it } from 'vitest';
import { registerClasses } from '../../src/config-space/index.ts';
import { bridge, nic, nicResources, setUp } from './support.ts';

it('tells the kinds of registers of a device apart', () => {
  const { filter } = setUp({ rows: nic, resources: nicResources });
  const classes = registerClasses(filter.table);
  const at = (...offsets: number[]): unknown => offsets.map((offset) => classes[offset / 4]);
  expect(classes).toHaveLength(1024);
  expect(at(0x00, 0x04, 0x08, 0x10, 0x24, 0x2c, 0x30, 0x3c)).toEqual([
    'header',
    'command',
    'header',
    'bar',
    'bar',
    'header',
    'bar',
    'header',
  ]);
  expect(at(0xa0, 0xb0, 0xc8, 0xcc, 0xd0, 0xe0, 0xe8)).toEqual([
    'msix',
    'vpd',
    'pm',
    'pm',
    'msi',
    'pcie',
    'pcie',
  ]);
  expect(at(0x40, 0x9c, 0xac, 0xc4)).toEqual(['other', 'other', 'other', 'other']);
  expect(at(0x100, 0x140, 0xffc)).toEqual(['extended', 'extended', 'extended']);
});

it('knows that a bridge has two BARs, and bus numbers where a device has its third', () => {
  const classes = registerClasses(setUp({ rows: bridge }).filter.table);
  expect([0x10, 0x14, 0x18, 0x30, 0x38].map((offset) => classes[offset / 4])).toEqual([
    'bar',
    'bar',
    'header',
    'header',
    'bar',
  ]);
});
