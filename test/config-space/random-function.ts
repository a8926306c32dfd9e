/** Functions made at random, together with the knowledge of where everything in them is. */
import fc from 'fast-check';
import type { FilterMode, FunctionIdentity, Resource } from '../../src/config-space/index.ts';
import type { Layout, Trust } from './naive-model.ts';

export interface RandomFunction {
  readonly config: Uint8Array;
  readonly layout: Layout;
  readonly identity: FunctionIdentity;
  readonly trust: Trust;
  readonly mode: FilterMode;
}

interface Part {
  readonly id: number;
  readonly bytes: number;
  /** Fixes what the bytes of the capability must say. */
  readonly fix?: (config: Uint8Array, at: number) => void;
  readonly key?: 'vpd' | 'pm' | 'msi' | 'msix' | 'pcie' | 'af';
  readonly isSealed?: boolean;
  /** Offsets into the capability of bytes that never change. */
  readonly frozen?: readonly number[];
}

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, at) => from + at);
const or = (config: Uint8Array, at: number, bits: number): void =>
  void (config[at] = (config[at] ?? 0) | bits);
const mask = (config: Uint8Array, at: number, bits: number): void =>
  void (config[at] = (config[at] ?? 0) & bits);

const standard: readonly Part[] = [
  { id: 0x03, bytes: 8, key: 'vpd' },
  { id: 0x01, bytes: 8, key: 'pm' },
  { id: 0x05, bytes: 0x18, key: 'msi', fix: (config, at) => or(config, at + 3, 1) },
  { id: 0x11, bytes: 12, key: 'msix', frozen: range(4, 12) },
  { id: 0x10, bytes: 0x14, key: 'pcie', frozen: range(0, 8) },
  { id: 0x13, bytes: 6, key: 'af', frozen: range(0, 4) },
  { id: 0x09, bytes: 16, frozen: [0, 1] },
  {
    id: 0x14,
    bytes: 4 + 4 + 12,
    isSealed: true,
    fix: (config, at) => {
      // A bridge has a dword more before its entries: one is then as long as two are elsewhere.
      config[at + 2] = ((config[0x0e] ?? 0) & 1) !== 0 ? 1 : 2;
      mask(config, at + 4, 0xf8);
      mask(config, at + 8, 0xf8);
      or(config, at + 8, 2);
    },
  },
];

const extended: readonly Part[] = [
  { id: 0x0001, bytes: 0x40, frozen: range(0, 4) },
  { id: 0x0003, bytes: 12, frozen: range(0, 4) },
  { id: 0x0010, bytes: 0x40, isSealed: true },
  { id: 0x000f, bytes: 8, isSealed: true },
  { id: 0x0013, bytes: 16, isSealed: true },
  { id: 0x001b, bytes: 8, isSealed: true },
  { id: 0x000d, bytes: 8, isSealed: true, fix: (config, at) => mask(config, at + 4, 0xdf) },
  { id: 0x0015, bytes: 20, isSealed: true, fix: (config, at) => void (config[at + 8] = 2 << 5) },
  { id: 0x0024, bytes: 12, isSealed: true, fix: (config, at) => void (config[at + 8] = 1 << 5) },
];

/** Registers of both headers that never change, and those that only one of them has. */
const frozenHeader = [0x08, 0x09, 0x0a, 0x0b, 0x0e, 0x34];
const frozenType0 = [...range(0x28, 0x30), 0x3e, 0x3f];

/** Lays parts out from `start`, each on a dword boundary after a gap. */
function place(
  parts: readonly (readonly [Part, number])[],
  start: number,
  end: number,
): readonly (readonly [Part, number])[] {
  let at = start;
  return parts.flatMap(([part, gap]) => {
    const here = at + 4 * gap;
    if (here + part.bytes > end) return [];
    at = (here + part.bytes + 3) & ~3;
    return [[part, here] as const];
  });
}

const anyResources: fc.Arbitrary<readonly Resource[]> = fc
  .array(
    fc.record({
      index: fc.integer({ min: 0, max: 6 }),
      kind: fc.constantFrom('memory32' as const, 'memory64' as const, 'io' as const),
      prefetchable: fc.boolean(),
      bits: fc.integer({ min: 4, max: 36 }),
      place: fc.bigInt({ min: 1n, max: 0xffn }),
    }),
    { maxLength: 4 },
  )
  .map((wanted) => {
    const taken = new Map<number, Resource>();
    for (const { index, kind, prefetchable, bits, place: where } of wanted) {
      const wide = kind === 'memory64' && index < 5;
      if (taken.has(index) || (wide && taken.has(index + 1)) || taken.get(index - 1)?.kind === 'memory64')
        continue;
      const log = BigInt(
        index === 6
          ? Math.min(Math.max(bits, 11), 20)
          : kind === 'io'
            ? Math.min(bits, 8)
            : wide
              ? bits
              : Math.min(bits, 24),
      );
      taken.set(index, {
        index,
        kind: index === 6 ? 'rom' : wide || kind === 'io' ? kind : 'memory32',
        prefetchable,
        start: where << log,
        size: 1n << log,
      });
    }
    return [...taken.values()];
  });

const anyOf = (parts: readonly Part[]): fc.Arbitrary<readonly (readonly [Part, number])[]> =>
  fc
    .tuple(
      fc.shuffledSubarray([...parts]),
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: parts.length, maxLength: parts.length }),
    )
    .map(([chosen, gaps]) => chosen.map((part, index) => [part, gaps[index] ?? 0] as const));

/** Functions whose capability lists make sense; what is in their registers need not. */
export const randomFunction: fc.Arbitrary<RandomFunction> = fc
  .record({
    noise: fc.noShrink(fc.uint8Array({ minLength: 4096, maxLength: 4096 })),
    isLong: fc.boolean(),
    isBridge: fc.boolean(),
    low: anyOf(standard),
    high: anyOf(extended),
    resources: anyResources,
    permissive: fc.boolean(),
    interruptControl: fc.boolean(),
    ids: fc.record({ vendor: fc.nat(0xffff), device: fc.nat(0xffff), irq: fc.nat(0x1ff) }),
    quirk: fc.option(
      fc.record({ at: fc.nat(0xff), size: fc.constantFrom(1, 2, 4), mask: fc.nat(0xffff_ffff) }),
    ),
  })
  .map(({ noise, isLong, isBridge, low, high, resources, permissive, interruptControl, ids, quirk }) => {
    const length = isLong ? 4096 : 256;
    const config = Uint8Array.from(noise.subarray(0, length));
    config[0x0e] = ((config[0x0e] ?? 0) & 0x80) | (isBridge ? 1 : 0);
    or(config, 0x06, 0x10);
    const lowParts = place(low, 0x40, 256);
    const highParts = isLong
      ? place(
          high.map(([part, gap], index) => [part, index === 0 ? 0 : gap]),
          0x100,
          4096,
        )
      : [];
    lowParts.forEach(([part, at], index) => {
      config[at] = part.id;
      config[at + 1] = lowParts[index + 1]?.[1] ?? 0;
      part.fix?.(config, at);
    });
    config[0x34] = lowParts[0]?.[1] ?? 0;
    if (isLong && highParts.length === 0) config.fill(0, 0x100, 0x104);
    highParts.forEach(([part, at], index) => {
      const header = part.id | (1 << 16) | ((highParts[index + 1]?.[1] ?? 0) << 20);
      new DataView(config.buffer).setUint32(at, header, true);
      part.fix?.(config, at);
    });

    const parts = [...lowParts, ...highParts];
    const keys = Object.fromEntries(parts.flatMap(([{ key }, at]) => (key ? [[key, at]] : [])));
    const layout: Layout = {
      length,
      isBridge,
      ...keys,
      sealed: parts.filter(([part]) => part.isSealed).map(([part, at]) => [at, at + part.bytes]),
      frozen: [
        ...frozenHeader,
        ...(isBridge ? [] : frozenType0),
        ...parts.flatMap(([part, at]) => (part.frozen ?? []).map((byte) => at + byte)),
      ],
    };
    // A quirk may lie wherever there is nothing at all.
    const used = new Set(parts.flatMap(([part, at]) => range(at, at + part.bytes)));
    const size = quirk?.size ?? 1;
    const offset = quirk ? 0x40 + Math.floor((quirk.at % 0xc0) / size) * size : 0;
    const spot = range(offset & ~3, (offset & ~3) + 4);
    const isFree = quirk !== null && !spot.some((at) => used.has(at));
    const given = isFree ? { offset, size, mask: quirk.mask % 2 ** (8 * size) } : undefined;
    const own = resources.filter(({ index }) => index === 6 || !isBridge || index < 2);
    return {
      config,
      layout,
      identity: { ...ids, resources: own, physicalFunction: null },
      trust: { permissive, interruptControl, quirk: given },
      mode: {
        permissive,
        interruptControl,
        quirks: given ? [{ ...given, sbdf: 0 as never, size: given.size }] : [],
      },
    };
  });

/** Where an access goes: anywhere, or to one of the function's registers that do more than hold bits. */
export type Where = { readonly offset: number } | { readonly spot: number };

export type Deed =
  | { readonly do: 'read'; readonly where: Where; readonly size: number }
  | {
      readonly do: 'write';
      readonly where: Where;
      readonly size: number;
      readonly value: number;
      readonly how: 'value' | 'flip';
      /** The process dies before this many writes of the hardware are done, and its successor is asked again; null: it lives. */
      readonly diesAfter: number | null;
    }
  /** The device changes a register by itself. */
  | { readonly do: 'poke'; readonly offset: number; readonly value: number }
  /** The process dies, and another one takes over. */
  | { readonly do: 'die' }
  | { readonly do: 'finish reset' }
  /** The time is up after which a function that came out of D3hot may be touched. */
  | { readonly do: 'recover' };

const bars = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x38];

/** The offset that is meant. A register is reached at the alignment that the size asks for. */
export function resolve(where: Where, size: number, { layout, trust }: RandomFunction): number {
  if ('offset' in where) return where.offset;
  const { vpd, pm, msi, msix, pcie, af } = layout;
  const controls = [
    [vpd, 2],
    [pm, 4],
    [msi, 2],
    [msix, 2],
    [pcie, 8],
    [af, 4],
    [trust.quirk?.offset, 0],
  ] as const;
  const spots = [
    0x04,
    0x0c,
    0x0f,
    ...controls.flatMap(([at, offset]) => (at === undefined ? [] : [at + offset])),
  ];
  const spot =
    where.spot % 4 === 0 ? bars[(where.spot >>> 2) % bars.length] : spots[(where.spot >>> 2) % spots.length];
  return (spot ?? 0) & -size;
}

const anyWhere: fc.Arbitrary<Where> = fc.oneof(
  { weight: 20, arbitrary: fc.record({ spot: fc.nat(0xffff) }) },
  { weight: 5, arbitrary: fc.record({ offset: fc.nat(0xff) }) },
  { weight: 5, arbitrary: fc.record({ offset: fc.nat(0x1ff) }) },
  { weight: 1, arbitrary: fc.record({ offset: fc.integer() }) },
);
const anySize = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(1, 2, 2, 4) },
  { weight: 1, arbitrary: fc.integer() },
);
const anyValue = fc.oneof(
  fc.constantFrom(
    0,
    0xffff_ffff,
    0xffff_fffe,
    0xffff_fff0,
    0xffff_f800,
    0x8000_0000,
    0x0081,
    0xc000,
    0x40,
    1,
  ),
  fc.nat(0xffff_ffff),
);

/** Something that a guest or a device does, for the most part where it matters. */
export const randomDeeds: fc.Arbitrary<readonly Deed[]> = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ do: fc.constant('read' as const), where: anyWhere, size: anySize }),
    },
    {
      weight: 20,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        where: anyWhere,
        size: anySize,
        value: anyValue,
        how: fc.constantFrom('value' as const, 'flip' as const),
        diesAfter: fc.constantFrom(null, null, 0, 1, 2, 3),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('poke' as const), offset: fc.nat(0xff), value: fc.nat(0xff) }),
    },
    { weight: 2, arbitrary: fc.constant({ do: 'die' as const }) },
    { weight: 2, arbitrary: fc.constant({ do: 'finish reset' as const }) },
    { weight: 2, arbitrary: fc.constant({ do: 'recover' as const }) },
  ),
  { minLength: 40, maxLength: 150, size: 'max' },
);
