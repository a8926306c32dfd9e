import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSbdf, type Sbdf } from '../../src/address.ts';
import {
  type ConfigFilter,
  formatQuirk,
  proposeQuirks,
  type Quirk,
  withQuirk,
} from '../../src/config-space/index.ts';
import { nic, nicResources, setUp } from './support.ts';

const sbdf = parseSbdf('0000:03:00.0') as Sbdf;
const proposals = ({ table, record }: ConfigFilter): readonly string[] =>
  proposeQuirks(sbdf, table, record).map(formatQuirk);

describe('a proposal', () => {
  it('has the bits that were asked for in the smallest register that holds them', () => {
    const { filter } = setUp();
    filter.write(0x40, 4, 0x0000_0003);
    filter.write(0x46, 1, 0x80);
    filter.write(0x48, 4, 0x0001_8000);
    filter.write(0x200, 4, 0xff00_00ff);
    expect(proposals(filter)).toEqual([
      '0000:03:00.0-40:1:00000003',
      '0000:03:00.0-46:1:00000080',
      '0000:03:00.0-48:4:00018000',
      '0000:03:00.0-200:4:ff0000ff',
    ]);
  });

  it('is not made for what was not denied, nor for registers with a rule', () => {
    const { filter } = setUp();
    expect(proposals(filter)).toEqual([]);
    filter.write(0x40, 4, 0);
    filter.write(0x10, 4, 0x1234_5678);
    filter.write(0xd2, 2, 0x0081);
    filter.write(0x00, 4, 0x1234_5678);
    expect(filter.record.denied).toBe(3);
    expect(proposals(filter)).toEqual([]);
  });

  it('leaves out a register with a rule that lies between', () => {
    // 0x0d to 0x0f are latency timer (read-only), header type (open) and BIST.
    const { filter } = setUp();
    filter.write(0x0e, 1, 0x01);
    expect(proposals(filter)).toEqual(['0000:03:00.0-0e:1:00000001']);
  });

  it('makes a quirk that is too narrow wider', () => {
    const quirks: Quirk[] = [{ sbdf, offset: 0x40, size: 4, mask: 0x0100_0001 }];
    const { filter } = setUp({ mode: { quirks } });
    filter.write(0x40, 4, 0x0100_0003);
    const [proposed] = proposeQuirks(sbdf, filter.table, filter.record);
    expect(proposed).toEqual({ sbdf, offset: 0x40, size: 4, mask: 0x0100_0003 });
    expect(proposed && withQuirk(quirks, proposed).quirks).toEqual([proposed]);
  });

  it('is not made in a permissive filter, which denies nothing there', () => {
    const { filter } = setUp({ mode: { permissive: true } });
    filter.write(0x40, 4, 3);
    expect(proposals(filter)).toEqual([]);
  });

  it('lets the same writes through when it is applied', () => {
    const size = fc.constantFrom(1, 2, 4);
    const write = fc
      .tuple(fc.integer({ min: 0, max: 0x1ff }), size, fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }))
      .map(([at, bytes, value]) => ({ offset: at & ~(bytes - 1), bytes, value }));
    fc.assert(
      fc.property(fc.array(write, { maxLength: 20 }), (writes) => {
        const setup = { rows: nic, resources: nicResources };
        const { filter } = setUp(setup);
        const { owner, drops } = filter.table;
        const inTheOpen = writes.filter(
          ({ offset, bytes }) =>
            owner.subarray(offset, offset + bytes).every((index) => index === 0) &&
            (drops[offset >>> 2] ?? 0) === 0,
        );
        for (const { offset, bytes, value } of inTheOpen) filter.write(offset, bytes, value);
        const quirks = proposeQuirks(sbdf, filter.table, filter.record);
        for (const { offset, bytes, value } of inTheOpen) {
          const alone = setUp({ ...setup, mode: { quirks } }).filter;
          alone.write(offset, bytes, value);
          expect(alone.lastDenied).toBe(-1);
        }
      }),
    );
  });
});

describe('a quirk that is added', () => {
  it('takes the place of those that it overlaps', () => {
    const quirk = (offset: number, size: Quirk['size']): Quirk => ({ sbdf, offset, size, mask: 1 });
    const all = [quirk(0x40, 4), quirk(0x44, 1), quirk(0x45, 1)];
    expect(withQuirk(all, quirk(0x44, 2)).quirks).toEqual([quirk(0x40, 4), quirk(0x44, 2)]);
    expect(withQuirk(all, quirk(0x41, 1)).quirks).toEqual([quirk(0x44, 1), quirk(0x45, 1), quirk(0x41, 1)]);
    expect(withQuirk(all, { ...quirk(0x40, 4), mask: 0 }).quirks).toEqual([quirk(0x44, 1), quirk(0x45, 1)]);
  });
});
