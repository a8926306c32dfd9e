import { describe, expect, it } from 'vitest';
import { nic, type Rows, setUp } from './support.ts';

/** Device Capabilities bit 28 says that the function can be reset. */
const pcieFlr: Rows = { ...nic, 0xe4: '00000010' };
/** A conventional function with advanced features at 40: transactions pending and FLR. */
const afFlr: Rows = { 0x00: '86801234 02001000', 0x34: '40', 0x40: '13000603 0000' };

const deviceControl = 0xe8;

describe('a function-level reset', () => {
  it.each([
    ['in default mode', {}],
    ['when permissive', { permissive: true }],
  ])('is run by the back-end, never by the hardware: %s', (_, mode) => {
    const { events, filter, hardware } = setUp({ rows: pcieFlr, mode });
    expect(filter.write(deviceControl, 2, 0xa810)).toBe(0);
    expect(events).toEqual(['reset']);
    expect(hardware.read(deviceControl, 2)).toBe(0x2810);
    expect(filter.lastDenied).toBe(-1);
  });

  it.each([
    ['a byte', deviceControl + 1, 1, 0xa8],
    ['a dword', deviceControl, 4, 0x0000_a810],
  ])('can be asked for with %s', (_, offset, size, value) => {
    const { events, filter } = setUp({ rows: pcieFlr });
    filter.write(offset, size, value);
    expect(events).toEqual(['reset']);
  });

  it('does not follow from a value that has the bit beyond its width', () => {
    const { events, filter } = setUp({ rows: pcieFlr });
    filter.write(deviceControl, 1, 0x8010);
    expect(events).toEqual([]);
  });

  it('has reads give all ones and writes dropped until it is finished', () => {
    const { filter, read, written } = setUp({ rows: pcieFlr });
    filter.write(deviceControl, 2, 0xa810);
    expect([read(0x00, 4), read(0x10, 2), read(0x3c, 1)]).toEqual([0xffff_ffff, 0xffff, 0xff]);
    expect(filter.write(0x04, 2, 0x0007)).toBe(0);
    expect(filter.write(0xd2, 2, 0x0081)).toBe(0);
    expect(filter.write(0x01, 2, 0)).toBe(-2);
    expect(filter.read(0x1000, 4)).toBe(-2);
    expect(written()).toEqual([]);
    filter.resetFinished();
    expect(read(0x00, 4)).toBe(0x10d3_8086);
    expect(read(0x04, 2)).toBe(0x0002);
  });

  it('is not run twice at a time', () => {
    const { events, filter } = setUp({ rows: pcieFlr });
    filter.write(deviceControl, 2, 0xa810);
    filter.write(deviceControl, 2, 0xa810);
    expect(events).toEqual(['reset']);
    filter.resetFinished();
    filter.write(deviceControl, 2, 0xa810);
    expect(events).toEqual(['reset', 'reset']);
  });

  it('is dropped by a function that cannot, in every mode, and counts as denied', () => {
    for (const permissive of [false, true]) {
      const { events, filter, hardware } = setUp({ mode: { permissive } });
      expect(filter.write(deviceControl, 2, 0xa810)).toBe(0);
      expect(events).toEqual([]);
      expect(hardware.read(deviceControl, 2)).toBe(0x2810);
      expect(filter.lastDenied).toBe(deviceControl);
    }
  });

  it('cannot be had through a quirk', () => {
    const quirks = [{ sbdf: 0 as never, offset: deviceControl, size: 2, mask: 0xffff }] as const;
    const { events, filter, hardware } = setUp({ rows: pcieFlr, mode: { quirks } });
    filter.write(deviceControl, 2, 0xffff);
    expect(hardware.read(deviceControl, 2)).toBe(0x7fff);
    expect(events).toEqual(['reset']);
  });

  it('exists on conventional functions', () => {
    const { events, filter, written } = setUp({ rows: afFlr, length: 256 });
    filter.write(0x44, 1, 0x01);
    expect(events).toEqual(['reset']);
    expect(written()).toEqual([]);
    const without = setUp({ rows: { ...afFlr, 0x43: '01' }, length: 256, mode: { permissive: true } });
    without.filter.write(0x44, 2, 0x0001);
    expect(without.events).toEqual([]);
    expect(without.written()).toEqual(['044/2=0000']);
  });
});

describe('the PCI Express capability', () => {
  it('is read-only by default and open when permissive, a register and its neighbour alike', () => {
    const { filter, written } = setUp();
    filter.write(deviceControl, 2, 0x2811);
    filter.write(0xe0, 4, 0xffff_ffff);
    expect(written()).toEqual([]);
    const free = setUp({ mode: { permissive: true } });
    free.filter.write(deviceControl, 4, 0x000f_2811);
    expect(free.written()).toEqual(['0e8/4=000f2811']);
  });

  it('has its status bits known as cleared by writing one', () => {
    const { filter, hardware } = setUp();
    hardware.write(0xea, 2, 0x0001);
    filter.write(0xea, 2, 0x0000);
    expect(filter.lastDenied).toBe(-1);
    filter.write(0xea, 2, 0x0001);
    expect(filter.lastDenied).toBe(0xe8);
  });
});
