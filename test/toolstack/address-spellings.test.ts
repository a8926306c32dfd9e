import { describe, expect, it } from 'vitest';
import { formatSbdf, makeSbdf } from '../../src/address.ts';
import { followBridgePath } from '../../src/toolstack/address-spellings.ts';
import { parseSpec } from '../../src/toolstack/spec.ts';

const pathIn = (text: string): Parameters<typeof followBridgePath>[0] | undefined => {
  const result = parseSpec(text);
  return result.ok && result.spec.target.kind === 'path' ? result.spec.target.path : undefined;
};

describe('a function named by the bridges above it', () => {
  it('is read with every bridge on the way', () => {
    expect(pathIn('0000_00_08.1-00_00.0-01_1f.7,permissive=1')).toEqual({
      root: makeSbdf(0, 0, 8, 1),
      hops: [
        { busOffset: 0, device: 0, fn: 0 },
        { busOffset: 1, device: 0x1f, fn: 7 },
      ],
    });
  });

  it('tells which number of the path is out of range', () => {
    const result = parseSpec('0000_00_08.1-00_20.0');
    expect(!result.ok && result.problems).toMatchObject([{ at: 16, length: 2 }]);
  });

  const secondaryBuses = new Map([
    [makeSbdf(1, 0, 8, 1), 3],
    [makeSbdf(1, 3, 0, 0), 0xff],
  ]);
  const secondaryBus = (bridge: number): number | undefined =>
    [...secondaryBuses].find(([sbdf]) => sbdf === bridge)?.[1];

  it.each([
    ['0001_00_08.1-00_05.2', '0001:03:05.2'],
    ['0001_00_08.1-01_05.2', '0001:04:05.2'],
    ['0001_00_08.1-00_00.0-00_01.0', '0001:ff:01.0'],
    ['0001_00_08.1-00_00.0-01_01.0', undefined],
    ['0001_00_09.0-00_00.0', undefined],
  ])('%s leads to %s', (text, expected) => {
    const path = pathIn(text);
    const found = path && followBridgePath(path, secondaryBus);
    expect(found === undefined ? undefined : formatSbdf(found)).toBe(expected);
  });
});
