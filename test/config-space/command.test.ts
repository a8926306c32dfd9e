import { describe, expect, it } from 'vitest';
import { reapplyCommand } from '../../src/config-space/command.ts';
import { nic, nicResources, setUp } from './support.ts';

describe('the command register', () => {
  it('shows bus mastering and its like from the hardware, the rest from what was written', () => {
    const { filter, hardware, read } = setUp();
    expect(read(0x04, 2)).toBe(0x0002);
    filter.write(0x04, 2, 0x0147);
    expect(read(0x04, 2)).toBe(0x0147);
    hardware.write(0x04, 2, 0);
    expect(read(0x04, 2)).toBe(0x0143);
  });

  it('switches on the decoding that the ranges call for, whatever kind was asked for, and never off (XSA-120)', () => {
    const { filter, written } = setUp();
    filter.write(0x04, 2, 0x0001);
    expect(written()).toEqual(['004/2=0003']);
    filter.write(0x04, 2, 0x0000);
    filter.write(0x04, 4, 0x0000_0000);
    filter.write(0x04, 1, 0x00);
    expect(written()).toEqual([]);
  });

  it.each([
    ['memory only', [nicResources[0]], 0x0002],
    ['I/O only', [nicResources[2]], 0x0001],
    ['an expansion ROM only', [nicResources[3]], 0x0000],
  ] as const)('decodes what there is: %s', (_, [resource], decode) => {
    const { filter, hardware } = setUp({
      rows: { 0x00: '86801234 00001000' },
      resources: resource ? [resource] : [],
    });
    filter.write(0x04, 2, 0x0003);
    expect(hardware.read(0x04, 2)).toBe(decode);
  });

  it('puts decoding back that the function has lost', () => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x0006);
    hardware.write(0x04, 2, 0);
    filter.write(0x04, 2, 0x0006);
    expect(hardware.read(0x04, 2)).toBe(0x0007);
  });

  it('takes bus mastering away when decoding is asked to stop, and gives it back when it is asked for', () => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x0006);
    filter.write(0x04, 2, 0x0000);
    expect(hardware.read(0x04, 2)).toBe(0x0003);
    filter.write(0x04, 2, 0x0004);
    expect(hardware.read(0x04, 2)).toBe(0x0007);
  });

  it('interrupts bus mastering for a moment when only decoding is asked to stop, as Linux does', () => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x0006);
    const values: number[] = [];
    const write = hardware.write.bind(hardware);
    hardware.write = (offset, size, value) => {
      values.push(value);
      write(offset, size, value);
    };
    filter.write(0x04, 2, 0x0004);
    expect(values).toEqual([0x0003, 0x0007]);
  });

  it('wakes the function when decoding is switched on, without clearing PME_Status', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(0xcc, 2, 0xa00b);
    filter.write(0x04, 2, 0x0002);
    expect(written()).toEqual(['0cc/2=2008', '004/2=0003']);
    hardware.write(0xcc, 2, 0x200b);
    filter.write(0x04, 2, 0x0003);
    expect(written()).toEqual([]);
  });

  it('writes nothing when nothing changes', () => {
    const { filter, written } = setUp();
    filter.write(0x04, 2, 0x0006);
    written();
    filter.write(0x04, 2, 0x0006);
    filter.write(0x04, 1, 0x06);
    filter.write(0x05, 1, 0x00);
    expect(written()).toEqual([]);
  });

  it('is merged from narrow writes', () => {
    const { filter, read } = setUp();
    filter.write(0x04, 2, 0x0146);
    filter.write(0x04, 1, 0x06);
    expect(read(0x04, 2)).toBe(0x0106);
    filter.write(0x05, 1, 0x04);
    expect(read(0x04, 2)).toBe(0x0406);
  });

  it('does not touch the status register next to it (XSA-120: a byte write must not rewrite status)', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(0x06, 2, 0xf910);
    filter.write(0x05, 1, 0x01);
    filter.write(0x04, 4, 0xffff_0002);
    expect(written()).toEqual(['004/2=0003']);
    expect(hardware.read(0x06, 2)).toBe(0xf910);
  });
});

it('tells when waking the function makes it forget itself', () => {
  const { events, filter, hardware } = setUp();
  hardware.write(0xcc, 2, 0x0003);
  filter.write(0x04, 2, 0x0002);
  expect(events).toEqual(['context lost']);
});

describe('memory write and invalidate', () => {
  it('is switched, with a cache line size that fits the host', () => {
    const { filter, written } = setUp();
    filter.write(0x0c, 1, 0x08);
    written();
    filter.write(0x04, 2, 0x0010);
    expect(written()).toEqual(['00c/1=10', '004/2=0012']);
    filter.write(0x04, 2, 0x0000);
    expect(written()).toEqual(['004/2=0002']);
  });

  it.each([0x10, 0x20, 0x40])('leaves a cache line size of %i alone', (size) => {
    const { filter, written } = setUp();
    filter.write(0x0c, 1, size);
    written();
    filter.write(0x04, 2, 0x0010);
    expect(written()).toEqual(['004/2=0012']);
  });

  it('stays off when the function does not take the cache line size', () => {
    const { filter, hardware, read } = setUp({ rows: { ...nic, 0x0c: '00' } });
    const write = hardware.write.bind(hardware);
    hardware.write = (offset, size, value) => {
      if (offset !== 0x0c) write(offset, size, value);
    };
    filter.write(0x04, 2, 0x0016);
    expect(read(0x04, 2)).toBe(0x0006);
  });
});

describe('by mode', () => {
  it('keeps special cycles and their like out of the hardware by default, and counts that as denied', () => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x02ac);
    expect(hardware.read(0x04, 2)).toBe(0x0006);
    expect(filter.lastDenied).toBe(0x04);
    filter.write(0x04, 2, 0x0546);
    expect(filter.lastDenied).toBe(-1);
  });

  it('forwards them when permissive, and nothing else', () => {
    const { filter, hardware, written } = setUp({ mode: { permissive: true } });
    filter.write(0x04, 2, 0xffff);
    expect(hardware.read(0x04, 2)).toBe(0x02bf);
    written();
    filter.write(0x04, 2, 0x02bf);
    expect(written()).toEqual([]);
    filter.write(0x04, 2, 0xffff);
    expect(written()).toEqual(['004/2=02bf']);
  });

  it('lets a guest with interrupt control switch INTx, and no other', () => {
    for (const interruptControl of [false, true]) {
      const { filter, hardware } = setUp({ mode: { interruptControl } });
      filter.write(0x04, 2, 0x0402);
      expect(hardware.read(0x04, 2)).toBe(interruptControl ? 0x0403 : 0x0003);
      filter.write(0x04, 2, 0x0002);
      expect(hardware.read(0x04, 2)).toBe(0x0003);
    }
  });
});

describe('after a reset', () => {
  it('is put back to what the guest had', () => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x0016);
    hardware.write(0x04, 2, 0);
    reapplyCommand(filter);
    expect(hardware.read(0x04, 2)).toBe(0x0017);
  });

  it('has INTx as a guest with interrupt control had it', () => {
    for (const interruptControl of [false, true]) {
      const { filter, hardware } = setUp({ mode: { interruptControl } });
      filter.write(0x04, 2, 0x0402);
      hardware.write(0x04, 2, 0);
      reapplyCommand(filter);
      expect(hardware.read(0x04, 2)).toBe(interruptControl ? 0x0403 : 0x0003);
    }
  });

  it('gives no bus mastering to a guest that never asked for it', () => {
    const { filter, hardware } = setUp();
    reapplyCommand(filter);
    expect(hardware.read(0x04, 2)).toBe(0x0002);
  });
});
