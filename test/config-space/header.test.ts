import { describe, expect, it } from 'vitest';
import { bridge, nic, setUp } from './support.ts';

describe('the header', () => {
  it('shows the IDs that the host knows: those of a virtual function read as ones', () => {
    const { read } = setUp({
      rows: { 0x00: 'ffffffff 00001000 00000002' },
      ids: { vendor: 0x8086, device: 0x10ed },
      physicalFunction: 0x300,
    });
    expect(read(0x00, 4)).toBe(0x10ed_8086);
    expect(read(0x03, 1)).toBe(0x10);
  });

  it('shows the interrupt that the host gave it, in its low 8 bits', () => {
    expect(setUp({ irq: 0x123 }).read(0x3c, 2)).toBe(0x0123);
    expect(setUp({ irq: 0 }).read(0x3c, 1)).toBe(0);
  });

  it('shows what does not change without asking the hardware', () => {
    const { hardware, read } = setUp();
    const asked: number[] = [];
    const original = hardware.read.bind(hardware);
    hardware.read = (offset, size) => {
      asked.push(offset);
      return original(offset, size);
    };
    for (const offset of [0x00, 0x08, 0x10, 0x14, 0x2c, 0x30, 0x3c, 0xa4, 0xc8, 0x100]) read(offset, 4);
    for (const offset of [0x0e, 0x34, 0xa0, 0xb0, 0xd0]) read(offset, 1);
    expect(asked).toEqual([]);
    read(0x04, 4);
    read(0x0c, 4);
    expect(asked).toEqual([0x04, 0x0c]);
  });

  it('keeps the latency timer in every mode', () => {
    for (const permissive of [false, true]) {
      const { filter, written } = setUp({ mode: { permissive } });
      filter.write(0x0d, 1, 0x40);
      filter.write(0x3c, 2, 0x0207);
      filter.write(0x00, 4, 0x1234_5678);
      expect(written()).toEqual([]);
      expect(filter.record.denied).toBe(3);
    }
  });

  it('writes the cache line size, and rewrites it as often as asked', () => {
    const { filter, written } = setUp();
    filter.write(0x0c, 1, 0x08);
    expect(written()).toEqual(['00c/1=08']);
    filter.write(0x0c, 1, 0x08);
    expect(written()).toEqual(['00c/1=08']);
  });

  it('drops writes of status by default, and forwards them when permissive', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(0x06, 2, 0x0810);
    filter.write(0x06, 2, 0x0010);
    expect(filter.lastDenied).toBe(-1);
    filter.write(0x06, 2, 0x0810);
    expect(filter.lastDenied).toBe(0x04);
    expect(written()).toEqual([]);
    const free = setUp({ mode: { permissive: true } });
    free.filter.write(0x06, 2, 0xf900);
    expect(free.written()).toEqual(['006/2=f900']);
  });

  it('shows what a permissive guest has written over identification', () => {
    const { filter, read } = setUp({ mode: { permissive: true } });
    filter.write(0x08, 4, 0x0102_0304);
    expect(read(0x08, 4)).toBe(0x0102_0304);
  });
});

describe('the self test', () => {
  const bist = (current: number, value: number): readonly string[] => {
    const { filter, hardware, written } = setUp();
    hardware.write(0x0f, 1, current);
    filter.write(0x0f, 1, value);
    return written();
  };

  it('can be started', () => {
    expect(bist(0x00, 0x40)).toEqual(['00f/1=40']);
    expect(bist(0x80, 0xc0)).toEqual(['00f/1=c0']);
    expect(bist(0x82, 0x40)).toEqual(['00f/1=40']);
  });

  it('can be written with what is there, started or not', () => {
    expect(bist(0x80, 0x80)).toEqual(['00f/1=80']);
    expect(bist(0xc0, 0x80)).toEqual(['00f/1=80']);
  });

  it('takes nothing else', () => {
    expect(bist(0x00, 0x80)).toEqual([]);
    expect(bist(0x80, 0x00)).toEqual([]);
    expect(bist(0x80, 0xc1)).toEqual([]);
  });
});

describe('a bridge', () => {
  it('shows its windows and bus numbers, and does not let them be written', () => {
    const { filter, read, written } = setUp({ rows: bridge });
    expect(read(0x18, 4)).toBe(0x0001_0100);
    expect(read(0x20, 4)).toBe(0xfe10_fe00);
    for (let offset = 0x18; offset < 0x38; offset += 4) filter.write(offset, 4, 0xffff_ffff);
    expect(written()).toEqual([]);
  });

  it('has two BARs', () => {
    const { filter, read } = setUp({
      rows: bridge,
      resources: [{ index: 0, kind: 'memory64', prefetchable: false, start: 0x1_fe00_0000n, size: 0x1000n }],
    });
    expect([read(0x10, 4), read(0x14, 4)]).toEqual([0xfe00_0004, 1]);
    filter.write(0x10, 4, 0xffff_ffff);
    expect(read(0x10, 4)).toBe(0xffff_f004);
  });

  it('can have the bus behind it reset only by a permissive guest', () => {
    const { filter, written } = setUp({ rows: bridge });
    filter.write(0x3e, 2, 0x0042);
    expect(written()).toEqual([]);
    const free = setUp({ rows: bridge, mode: { permissive: true } });
    free.filter.write(0x3e, 2, 0x0042);
    expect(free.written()).toEqual(['03e/2=0042']);
    free.filter.write(0x3c, 4, 0x0042_010a);
    expect(free.written()).toEqual([]);
  });

  it('shows the reserved register and the interrupt line where a device has them', () => {
    const { read } = setUp({ rows: { ...bridge, 0x38: 'f8ffffff' }, irq: 9 });
    expect(read(0x3c, 4)).toBe(0x0002_0109);
    expect(read(0x38, 4)).toBe(0);
  });
});

it('every header register can be read at every width', () => {
  const { hardware, read } = setUp({ rows: nic });
  for (const offset of [0x06, 0x08, 0x09, 0x0a, 0x0b, 0x0e, 0x28, 0x2a, 0x2d, 0x3e, 0x3f]) {
    expect(read(offset, 1)).toBe(hardware.read(offset, 1));
  }
});
