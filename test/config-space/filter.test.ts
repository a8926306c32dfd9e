import { describe, expect, it } from 'vitest';
import { ConfigFilter } from '../../src/config-space/index.ts';
import { bytesPerTurn, nic, setUp } from './support.ts';

const int32 = [0x8000_0000 | 0, -4, -1, 0x1000, 0x7fff_fffc];

describe('the shape of an access', () => {
  it.each([0, 3, 5, 8, -1, -4, 0x4000_0000, 0x8000_0000 | 0])('has one of three sizes, not %i', (size) => {
    const { filter, written } = setUp();
    expect([filter.read(0, size), filter.value, filter.write(0, size, 0)]).toEqual([-2, 0, -2]);
    expect(written()).toEqual([]);
  });

  it.each(int32)('lies inside the space, not at %i', (offset) => {
    const { filter, written } = setUp({ mode: { permissive: true } });
    for (const size of [1, 2, 4]) {
      expect([filter.read(offset, size), filter.value, filter.write(offset, size, 0)]).toEqual([-2, 0, -2]);
    }
    expect(written()).toEqual([]);
  });

  it('is aligned', () => {
    const { filter } = setUp();
    for (let offset = 0; offset < 16; offset++) {
      expect(filter.read(offset, 2)).toBe(offset % 2 === 0 ? 0 : -2);
      expect(filter.write(offset, 4, 0)).toBe(offset % 4 === 0 ? 0 : -2);
    }
  });

  it('reaches as far as the space does', () => {
    expect(setUp().filter.read(0xffc, 4)).toBe(0);
    const { filter } = setUp({ length: 256 });
    expect([filter.read(0xfc, 4), filter.read(0x100, 4)]).toEqual([0, -2]);
  });
});

describe('a read', () => {
  it('is masked to its size', () => {
    const { read } = setUp();
    expect([read(0x02, 1), read(0x10, 1), read(0x12, 2), read(0x04, 1)]).toEqual([0xd3, 0, 0xfeb8, 0x02]);
  });

  it('is unsigned', () => {
    const { filter, read } = setUp();
    filter.write(0x10, 4, -1);
    expect(read(0x10, 4)).toBe(0xfffe_0000);
  });

  it('puts registers of all kinds together', () => {
    const { filter, read } = setUp({ rows: { ...nic, 0x06: '1008' } });
    filter.write(0x04, 2, 0x0546);
    expect(read(0x04, 4)).toBe(0x0810_0546);
  });

  it('leaves no value behind when it fails', () => {
    const { filter } = setUp();
    filter.read(0x00, 4);
    filter.read(0x01, 4);
    expect(filter.value).toBe(0);
  });
});

describe('a write', () => {
  it('over several registers gives the error of the last', () => {
    const { filter } = setUp();
    expect(filter.write(0xd0, 4, 0x0081_e005)).toBe(-3);
    expect(filter.write(0xd0, 4, 0x0080_ffff)).toBe(0);
    expect(filter.write(0xb0, 4, 0x8000_0003)).toBe(-3);
  });

  it('is not forwarded where registers with a rule end, even when permissive', () => {
    const { filter, written } = setUp({ mode: { permissive: true } });
    filter.write(0x04, 4, 0xf900_0002);
    expect(written()).toEqual(['004/2=0003']);
    filter.write(0xc8, 4, 0xffff_ffff);
    filter.write(0x34, 4, 0x0102_0304);
    expect(written()).toEqual(['034/4=01020304']);
  });

  it('takes no more of its value than its size', () => {
    const { filter, written } = setUp({ mode: { permissive: true } });
    filter.write(0x40, 1, -1);
    filter.write(0x42, 2, 0x1234_5678);
    expect(written()).toEqual(['040/1=ff', '042/2=5678']);
  });
});

describe('denials', () => {
  it('are what has not been done as asked', () => {
    const { filter } = setUp();
    const denied = (offset: number, size: number, value: number): number => {
      filter.write(offset, size, value);
      return filter.lastDenied;
    };
    expect(denied(0x40, 4, 1)).toBe(0x40);
    expect(denied(0x40, 4, 0)).toBe(-1);
    expect(denied(0x41, 1, 1)).toBe(0x40);
    expect(denied(0x00, 4, 0x10d3_8086)).toBe(-1);
    expect(denied(0x00, 4, 0)).toBe(0x00);
    expect(denied(0x00, 3, 0)).toBe(-1);
  });

  it('are counted once a write, by register', () => {
    const { filter } = setUp();
    filter.write(0x00, 4, 0);
    filter.write(0x02, 2, 0);
    filter.write(0x40, 4, 1);
    const { record } = filter;
    expect([record.deniedAt(0x00), record.deniedAt(0x40), record.denied]).toEqual([2, 1, 3]);
  });

  it('do not depend on what a register happens to hold for bits that are cleared by writing one', () => {
    const { filter, hardware } = setUp();
    hardware.write(0x06, 2, 0x0810);
    filter.write(0x06, 2, 0x1010);
    expect(filter.lastDenied).toBe(-1);
    filter.write(0x06, 2, 0x0810);
    expect(filter.lastDenied).toBe(0x04);
  });
});

describe('counters', () => {
  it('count what reached a register', () => {
    const { filter } = setUp();
    filter.read(0, 4);
    filter.read(1, 4);
    filter.write(0x0c, 1, 0);
    filter.write(-4, 4, 0);
    expect([filter.record.reads, filter.record.writes]).toEqual([1, 1]);
  });
});

describe('a filter over the record of another', () => {
  it('goes on where that one was', () => {
    const { filter, hardware } = setUp();
    const { record, table, effects } = filter;
    filter.write(0x04, 2, 0x0407);
    filter.write(0x10, 4, 0xffff_ffff);
    filter.write(0x30, 4, 0xffff_ffff);
    const next = new ConfigFilter(table, hardware, record, effects);
    const see = (offset: number): number => {
      next.read(offset, 4);
      return next.value;
    };
    expect([see(0x04), see(0x10), see(0x30), see(0x14)]).toEqual([
      0x0010_0407, 0xfffe_0000, 0xfffc_0000, 0xc000_000c,
    ]);
  });

  it('begins afresh when the record does', () => {
    const { filter, read } = setUp();
    filter.write(0x04, 2, 0x0500);
    filter.write(0x10, 4, 0xffff_ffff);
    filter.record.reset(filter.table.initialCommand);
    filter.refresh();
    expect([read(0x04, 2), read(0x10, 4)]).toEqual([0x0002, 0xfeb8_0000]);
  });

  it('is still in the reset that the last one had begun', () => {
    const { filter, hardware, events } = setUp({ rows: { ...nic, 0xe4: '00000010' } });
    filter.write(0xe8, 2, 0x8000);
    const next = new ConfigFilter(filter.table, hardware, filter.record, filter.effects);
    next.read(0, 4);
    expect([next.value, events]).toEqual([0xffff_ffff, ['reset']]);
  });
});

it('an access allocates nothing', () => {
  const { filter, hardware } = setUp();
  // Straight on the memory: the log of writes would allocate.
  const bare = new ConfigFilter(filter.table, hardware, filter.record, filter.effects);
  const run = (turns: number): void => {
    for (let turn = 0; turn < turns; turn++) {
      const size = 1 << (turn % 3);
      const offset = Math.imul(turn, 5) & 0xff & -size;
      bare.read(offset, size);
      bare.write(offset, size, Math.imul(turn, 0x9e37_79b1));
    }
  };
  expect(bytesPerTurn(run)).toBeLessThan(1);
});
