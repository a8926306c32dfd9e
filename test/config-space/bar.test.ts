import { describe, expect, it } from 'vitest';
import { bridge, setUp } from './support.ts';

const sizes = (bar: number): number => 0x10 + 4 * bar;

describe('a BAR', () => {
  it('shows what it decodes, each kind in its own way', () => {
    const { filter, read, written } = setUp();
    const probe = (offset: number): number => {
      filter.write(offset, 4, 0xffff_ffff);
      return read(offset, 4);
    };
    expect(probe(sizes(0))).toBe(0xfffe_0000);
    expect(probe(sizes(1))).toBe(0xffff_c00c);
    expect(probe(sizes(2))).toBe(0xffff_ffff);
    expect(probe(sizes(3))).toBe(0xffff_ffe1);
    expect(probe(sizes(4))).toBe(0);
    expect(probe(0x30)).toBe(0xfffc_0000);
    expect(written()).toEqual([]);
  });

  it('takes all ones with or without the bits below the address for a probe', () => {
    const { filter, read } = setUp();
    for (const probe of [0xffff_ffff, 0xffff_fff0]) {
      filter.write(0x10, 4, probe);
      expect(read(0x10, 4)).toBe(0xfffe_0000);
      filter.write(0x10, 4, 0xfeb8_0000);
      expect(read(0x10, 4)).toBe(0xfeb8_0000);
    }
    filter.write(0x18, 4, 0xffff_fff0);
    expect(read(0x18, 4)).toBe(1);
    filter.write(0x30, 4, 0xffff_f800);
    expect(read(0x30, 4)).toBe(0xfffc_0000);
  });

  it('is sized by itself: others go on showing their addresses', () => {
    const { filter, read } = setUp();
    filter.write(0x14, 4, 0xffff_ffff);
    expect(read(0x10, 4)).toBe(0xfeb8_0000);
    expect(read(0x18, 4)).toBe(1);
  });

  it('cannot be sized a byte or a word at a time', () => {
    const { filter, read } = setUp();
    for (const offset of [0x10, 0x11, 0x12, 0x13]) filter.write(offset, 1, 0xff);
    expect(read(0x10, 4)).toBe(0xfeb8_0000);
    filter.write(0x10, 4, 0xffff_ffff);
    filter.write(0x10, 2, 0xffff);
    expect(read(0x10, 4)).toBe(0xfeb8_0000);
  });

  it('cannot be moved, and says so to the administrator', () => {
    const { filter, read, written } = setUp();
    filter.write(0x10, 4, 0xd000_0000);
    expect(read(0x10, 4)).toBe(0xfeb8_0000);
    expect(written()).toEqual([]);
    expect(filter.lastDenied).toBe(0x10);
  });

  it('gets its address back when the device has lost it, and only then', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(0x10, 4, 0);
    filter.write(0x10, 4, 0xffff_ffff);
    filter.write(0x10, 4, 0xd000_0000);
    expect(written()).toEqual([]);
    filter.write(0x10, 4, 0xfeb8_0000);
    expect(written()).toEqual(['010/4=feb80000']);
    filter.write(0x10, 4, 0xfeb8_0000);
    expect(written()).toEqual([]);
    expect(filter.lastDenied).toBe(-1);
  });

  it('gets its address back through narrow writes too, since they are merged with what it shows', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(0x10, 4, 0);
    filter.write(0x12, 2, 0xfeb8);
    expect(written()).toEqual(['010/4=feb80000']);
  });

  it('shows the ranges of the host, not the registers: a virtual function has none of its own', () => {
    const { filter, read, written } = setUp({
      rows: { 0x00: 'ffffffff 00001000 00000002 00000000' },
      resources: [{ index: 0, kind: 'memory64', prefetchable: true, start: 0x38_0000_8000n, size: 0x4000n }],
      physicalFunction: 0x300,
    });
    expect(read(0x10, 4)).toBe(0x0000_800c);
    expect(read(0x14, 4)).toBe(0x38);
    filter.write(0x14, 4, 0xffff_ffff);
    expect(read(0x14, 4)).toBe(0xffff_ffff);
    expect(written()).toEqual([]);
  });

  it('of more than 4 GiB has a size in both halves', () => {
    const { filter, read } = setUp({
      rows: { 0x00: '86801234 00001000' },
      resources: [
        { index: 2, kind: 'memory64', prefetchable: false, start: 0x40_0000_0000n, size: 0x4_0000_0000n },
      ],
    });
    filter.write(0x18, 4, 0xffff_ffff);
    filter.write(0x1c, 4, 0xffff_ffff);
    expect(read(0x18, 4)).toBe(4);
    expect(read(0x1c, 4)).toBe(0xffff_fffc);
  });

  it('ignores a 64-bit range that would end outside of the header', () => {
    const { read } = setUp({
      rows: { 0x00: '86801234 00001000', 0x28: '01020304' },
      resources: [{ index: 5, kind: 'memory64', prefetchable: false, start: 0x40_0000_0000n, size: 0x1000n }],
    });
    expect(read(0x24, 4)).toBe(4);
    expect(read(0x28, 4)).toBe(0x0403_0201);
  });
});

describe('an expansion ROM', () => {
  it('cannot be enabled', () => {
    const { filter, read, written } = setUp();
    filter.write(0x30, 4, 0xfeb4_0001);
    expect(read(0x30, 4)).toBe(0xfeb4_0000);
    expect(written()).toEqual([]);
  });

  it('of a bridge is at 0x38', () => {
    const { filter, read } = setUp({
      rows: bridge,
      resources: [{ index: 6, kind: 'rom', prefetchable: false, start: 0xfea0_0000n, size: 0x800n }],
    });
    expect(read(0x38, 4)).toBe(0xfea0_0000);
    filter.write(0x38, 4, 0xffff_ffff);
    expect(read(0x38, 4)).toBe(0xffff_f800);
    expect(read(0x30, 4)).toBe(0);
  });
});

it('a permissive filter protects BARs as well', () => {
  const { filter, written } = setUp({ mode: { permissive: true } });
  filter.write(0x10, 4, 0xd000_0000);
  filter.write(0x30, 4, 0xfeb4_0001);
  filter.write(0x24, 4, 0xd000_0000);
  expect(written()).toEqual([]);
});
