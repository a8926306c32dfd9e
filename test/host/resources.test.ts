import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../src/config-space/access.ts';
import { parseResources } from '../../src/host/resources.ts';
import { resourceText } from './support/tree.ts';

const unset = '0x0000000000000000 0x0000000000000000 0x0000000000000000';

/** The attribute with this text as line `index`. */
const lineAt = (index: number, line: string): string =>
  [...Array<string>(index).fill(unset), line].join('\n');

describe('parseResources', () => {
  it('reads what Linux writes', () => {
    const text = [
      '0x00000000fe240000 0x00000000fe25ffff 0x0000000000040200',
      '0x00000001c0000000 0x00000001c0003fff 0x000000000014220c',
      unset,
      '0x000000000000d000 0x000000000000d01f 0x0000000000040101',
      unset,
      unset,
      '0x00000000fe200000 0x00000000fe23ffff 0x0000000000046200',
      '0x00000000fd000000 0x00000000fd003fff 0x0000000000140204',
    ].join('\n');
    expect(parseResources(text)).toEqual([
      { index: 0, kind: 'memory32', prefetchable: false, start: 0xfe24_0000n, size: 0x2_0000n },
      { index: 1, kind: 'memory64', prefetchable: true, start: 0x1_c000_0000n, size: 0x4000n },
      { index: 3, kind: 'io', prefetchable: false, start: 0xd000n, size: 0x20n },
      { index: 6, kind: 'rom', prefetchable: false, start: 0xfe20_0000n, size: 0x4_0000n },
    ]);
  });

  it.each([
    ['a range that is not assigned', 0, '0x0 0x3fff 0x20040200'],
    ['a disabled range', 0, '0xfe000000 0xfe003fff 0x10040200'],
    ['a claimed range', 0, '0xfe000000 0xfe003fff 0x80040200'],
    ['the copy of a ROM in RAM', 6, '0x000c0000 0x000dffff 0x00000212'],
    ['what follows the ROM', 7, 'not even numbers'],
  ])('passes over %s', (_, index, line) => {
    expect(parseResources(lineAt(index, line))).toEqual([]);
  });

  it('takes an empty or a short attribute for what it is', () => {
    expect(parseResources('')).toEqual([]);
    expect(parseResources(unset)).toEqual([]);
  });

  it('knows 64-bit BARs of kernels that had no flag for them', () => {
    expect(parseResources('0xfe000000 0xfe003fff 0x00020204')[0]?.kind).toBe('memory64');
  });

  it.each([
    ['words', 0, 'the quick brown'],
    ['two numbers', 0, '0x1000 0x1fff'],
    ['an end before the start', 0, '0x2000 0x1fff 0x40200'],
    ['a size that is no power of two', 0, '0x3000 0x5fff 0x40200'],
    ['a start that is not a multiple of the size', 0, '0x1000 0x2fff 0x40200'],
    ['memory and I/O at once', 0, '0x1000 0x1fff 0x40300'],
    ['neither memory nor I/O', 0, '0x1000 0x1fff 0x40000'],
    ['a ROM in I/O space', 6, '0x1000 0x1fff 0x40100'],
    ['a 64-bit BAR without an upper half', 5, '0xfe000000 0xfe003fff 0x140204'],
  ])('refuses %s and names the line', (_, index, line) => {
    expect(() => parseResources(lineAt(index, line))).toThrow(`line ${index + 1}`);
  });

  it('refuses a BAR in the upper half of another', () => {
    const text = '0xfe000000 0xfe003fff 0x140204\n0xfd000000 0xfd000fff 0x40200';
    expect(() => parseResources(text)).toThrow('upper half');
  });

  it('gives back any set of ranges that was printed', () => {
    const range = (index: number, kinds: readonly Resource['kind'][]): fc.Arbitrary<Resource> =>
      fc
        .record({
          kind: fc.constantFrom(...kinds),
          prefetchable: fc.boolean(),
          bits: fc.integer({ min: 4, max: 24 }),
          at: fc.bigInt({ min: 1n, max: 0xffn }),
        })
        .map(({ kind, prefetchable, bits, at }) => ({
          index,
          kind,
          prefetchable: prefetchable && kind.startsWith('memory'),
          start: at << BigInt(bits),
          size: 1n << BigInt(bits),
        }));
    const bars = [0, 2, 4].map((index) => fc.option(range(index, ['io', 'memory32', 'memory64'])));
    fc.assert(
      fc.property(fc.tuple(...bars, fc.option(range(6, ['rom']))), (options) => {
        const resources = options.filter((resource) => resource !== null);
        expect(parseResources(resourceText(resources).trim())).toEqual(resources);
      }),
    );
  });

  it('never fails but with a RangeError', () => {
    const number = fc
      .bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
      .map((value) => `0x${value.toString(16)}`);
    const line = fc.oneof(
      fc.string(),
      fc.tuple(number, number, number).map((parts) => parts.join(' ')),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
        try {
          expect(parseResources(lines.join('\n')).length).toBeLessThanOrEqual(7);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
