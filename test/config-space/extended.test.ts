import { describe, expect, it } from 'vitest';
import { nic, type Rows, setUp } from './support.ts';

/** An adapter whose extended space begins with this capability: its header word, then its registers. */
const withCapability = (id: string, registers = ''): Rows => ({ ...nic, 0x100: `${id}0100${registers}` });

/** Offsets from 0x100 of the bytes that a permissive guest can change, of the first 128. */
function writable(rows: Rows): readonly number[] {
  const { filter, hardware } = setUp({ rows: { ...rows, 0x140: '00000000' }, mode: { permissive: true } });
  const found: number[] = [];
  for (let at = 0x100; at < 0x180; at++) {
    const before = hardware.read(at, 1);
    filter.write(at, 1, before ^ 0xff);
    if (hardware.read(at, 1) !== before) found.push(at - 0x100);
  }
  return found;
}

const from = (first: number): readonly number[] =>
  Array.from({ length: 0x80 - first }, (_, at) => first + at);

describe('an extended capability that reaches beyond its function', () => {
  it.each([
    ['SR-IOV', withCapability('1000'), 0x40],
    ['ATS', withCapability('0f00'), 0x08],
    ['PRI', withCapability('1300'), 0x10],
    ['PASID', withCapability('1b00'), 0x08],
    ['ACS', withCapability('0d00', '1f000000'), 0x08],
    ['ACS with an egress vector of 33 bits', withCapability('0d00', '20210000'), 0x10],
    ['ACS with an egress vector of 256 bits', withCapability('0d00', '20000000'), 0x28],
    ['resizable BAR, one', withCapability('1500', '00000000 20000000'), 0x0c],
    ['resizable BAR, three', withCapability('1500', '00000000 60000000'), 0x1c],
    ['resizable BAR, seven, of which there can be six', withCapability('1500', '00000000 e0000000'), 0x34],
    ['VF resizable BAR, two', withCapability('2400', '00000000 40000000'), 0x14],
  ])('is never writable, to its end and no further: %s', (_, rows, length) => {
    expect(writable(rows)).toEqual(from(length));
  });

  it('is shown all the same', () => {
    const { hardware, read } = setUp({ rows: withCapability('1000', '02000000') });
    expect(read(0x104, 4)).toBe(2);
    hardware.write(0x108, 2, 1);
    expect(read(0x108, 2)).toBe(1);
  });

  it('is clipped to the space', () => {
    const rows = { ...nic, 0x100: '0100c1ff', 0xffc: '10000100' };
    const { filter, hardware } = setUp({ rows, mode: { permissive: true } });
    filter.write(0xffc, 4, 0);
    filter.write(0xff8, 4, 1);
    expect([hardware.read(0xffc, 4), hardware.read(0xff8, 4)]).toEqual([0x0001_0010, 1]);
  });
});

describe('other extended capabilities', () => {
  it('are read-only by default', () => {
    const { filter, written } = setUp();
    for (let offset = 0x100; offset < 0x1000; offset += 4) filter.write(offset, 4, 0xffff_ffff);
    expect(written()).toEqual([]);
    expect(filter.record.deniedAt(0x108)).toBe(1);
  });

  it('are open when permissive', () => {
    expect(writable(nic)).toEqual(from(0));
  });
});

describe('enhanced allocation', () => {
  /** Two entries, of three and of five dwords, the last of which says what follows. */
  const entries = '1400 0200 03000000 00000000 00000000 00000000 04000000';
  const type0: Rows = { 0x00: '86801234 00001000', 0x34: '40', 0x40: entries };

  it.each([
    ['on a device', type0, 4 + 16 + 20],
    [
      'on a bridge, which has a dword more',
      { ...type0, 0x0e: '01', 0x40: entries.replace('0200 ', '0200 00010200') },
      8 + 16 + 20,
    ],
    ['with no entries', { ...type0, 0x40: '14000000' }, 4],
    ['with more entries than there is room for', { ...type0, 0x40: '14003f00' + '07000000'.repeat(46) }, 192],
  ])('is never writable: %s', (_, rows, length) => {
    const { filter, hardware } = setUp({ rows, length: 256, mode: { permissive: true } });
    const changed: number[] = [];
    for (let at = 0x40; at < 0x100; at += 4) {
      const before = hardware.read(at, 4);
      filter.write(at, 4, ~before >>> 0);
      if (hardware.read(at, 4) !== before) changed.push(at - 0x40);
    }
    expect(changed[0] ?? 192).toBe(length);
    expect(changed.length).toBe((192 - length) / 4);
  });
});
