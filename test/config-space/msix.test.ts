import { describe, expect, it } from 'vitest';
import { nic, nicResources, setUp } from './support.ts';

/** The adapter with these table and pending-bits words, and the size that its control word tells. */
const tableWith = (table: string, pending: string, control = '0400'): unknown =>
  setUp({ rows: { ...nic, 0xa2: control, 0xa4: table, 0xa8: pending }, resources: nicResources }).filter.table
    .msix;

describe('the MSI-X table', () => {
  it('is found where the function says', () => {
    expect(tableWith('00000000', '00200000')).toEqual({
      entries: 5,
      bar: 0,
      barStart: 0xfeb8_0000n,
      offset: 0,
    });
    expect(tableWith('01100000', '01200000', 'ff00')).toEqual({
      entries: 256,
      bar: 1,
      barStart: 0x1_c000_0000n,
      offset: 0x1000,
    });
  });

  it.each([
    ['in an I/O BAR', '03000000', '00200000'],
    ['with pending bits in an I/O BAR', '00000000', '03200000'],
    ['in a BAR that is not there', '04000000', '00200000'],
    ['in the expansion ROM', '06000000', '00200000'],
    ['in the upper half of another BAR', '02000000', '00200000'],
    ['beyond the end', 'b8ff0100', '00200000'],
    ['with pending bits beyond the end', '00000000', '00000200'],
  ])('is not used %s', (_, table, pending) => {
    expect(tableWith(table, pending)).toBeUndefined();
  });

  it('may end where the BAR ends', () => {
    expect(tableWith('b0ff0100', '00200000')).toMatchObject({ entries: 5, offset: 0x1_ffb0 });
    expect(tableWith('00000000', 'f8ff0100')).toMatchObject({ entries: 5 });
  });

  it('stays where it was when the function was seized (XSA-337)', () => {
    const { filter, hardware, read } = setUp({
      rows: { ...nic, 0xa4: '00000000', 0xa8: '00200000' },
      resources: nicResources,
    });
    hardware.write(0xa4, 4, 0x0000_1003);
    hardware.write(0xa2, 2, 0x07ff);
    hardware.write(0x10, 4, 0);
    expect(filter.table.msix).toEqual({ entries: 5, bar: 0, barStart: 0xfeb8_0000n, offset: 0 });
    expect(read(0xa4, 4)).toBe(0);
  });
});
