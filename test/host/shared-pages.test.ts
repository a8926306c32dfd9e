import { describe, expect, it } from 'vitest';
import type { Resource } from '../../src/config-space/access.ts';
import { sharedPages } from '../../src/host/shared-pages.ts';
import { sbdf } from '../host/support/functions.ts';

const bar = (start: bigint, size: bigint, changes: Partial<Resource> = {}): Resource => ({
  index: 0,
  kind: 'memory32',
  prefetchable: false,
  start,
  size,
  ...changes,
});

const [a, b, c] = [sbdf('03:00.0'), sbdf('03:00.1'), sbdf('04:00.0')];

describe('pages that functions share', () => {
  it('are told from both sides', () => {
    expect(
      sharedPages([
        { sbdf: a, resources: [bar(0xf000_0800n, 0x100n, { index: 2 })] },
        { sbdf: b, resources: [bar(0xf000_0000n, 0x100n)] },
      ]),
    ).toEqual([
      { sbdf: a, bar: 2, other: { sbdf: b, bar: 0 }, page: 0xf000_0000n },
      { sbdf: b, bar: 0, other: { sbdf: a, bar: 2 }, page: 0xf000_0000n },
    ]);
  });

  it.each<[string, Resource, Resource]>([
    ['in neighbouring pages', bar(0xf000_0000n, 0x100n), bar(0xf000_1000n, 0x100n)],
    ['of whole pages side by side', bar(0xf000_0000n, 0x1000n), bar(0xf000_1000n, 0x2000n)],
    ['of ports', bar(0xd000n, 0x20n, { kind: 'io' }), bar(0xd020n, 0x20n, { kind: 'io' })],
    ['of ports and of memory', bar(0xd000n, 0x20n, { kind: 'io' }), bar(0xd000n, 0x20n)],
  ])('are none with BARs %s', (_, one, other) => {
    expect(
      sharedPages([
        { sbdf: a, resources: [one] },
        { sbdf: b, resources: [other] },
      ]),
    ).toEqual([]);
  });

  it('are not those of one function alone', () => {
    const resources = [bar(0xf000_0000n, 0x100n), bar(0xf000_0100n, 0x100n, { index: 1 })];
    expect(sharedPages([{ sbdf: a, resources }])).toEqual([]);
  });

  it('are found for each two of several, also above 4 GiB and for a ROM', () => {
    const found = sharedPages([
      { sbdf: a, resources: [bar(0x60_0000_0000n, 0x10n, { kind: 'memory64' })] },
      { sbdf: b, resources: [bar(0x60_0000_0800n, 0x800n, { kind: 'rom', index: 6 })] },
      { sbdf: c, resources: [bar(0x60_0000_0010n, 0x10n, { kind: 'memory64', index: 4 })] },
    ]);
    expect(found).toHaveLength(6);
    expect(found.filter((each) => each.sbdf === b).map((each) => each.other)).toEqual([
      { sbdf: a, bar: 0 },
      { sbdf: c, bar: 4 },
    ]);
  });

  it('are found under a BAR that others lie within', () => {
    const found = sharedPages([
      { sbdf: a, resources: [bar(0xf000_0000n, 0x4000n)] },
      { sbdf: b, resources: [bar(0xf000_2000n, 0x1000n)] },
    ]);
    expect(found.map(({ page }) => page)).toEqual([0xf000_2000n, 0xf000_2000n]);
  });
});
