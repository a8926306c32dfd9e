import { describe, expect, it } from 'vitest';
import { busOf, devfnOf, formatSbdf, segmentOf, slotOf } from '../../../src/address.ts';
import { byteAt, dwordAt, wordAt } from '../../../src/config-space/image.ts';
import {
  extendedCapabilities,
  findCapability,
  standardCapabilities,
} from '../../../src/config-space/capabilities.ts';
import { compileFilter, defaultMode, seizedFrom } from '../../../src/config-space/index.ts';
import { capturedFunctions } from '../../../src/host/captures/index.ts';
import type { FunctionFacts } from '../../../src/host/platform.ts';
import { captured } from '../support/functions.ts';

const functions = capturedFunctions();
const named = functions.map((facts) => [formatSbdf(facts.sbdf), facts] as const);
const isBridge = ({ config }: FunctionFacts): boolean => (byteAt(config, 0x0e) & 0x7f) === 1;

/** The range that the registers of a BAR say, and how many registers it takes. */
function decodedBar(
  { config }: FunctionFacts,
  index: number,
): { start: bigint; kind: string; prefetchable: boolean } {
  const value = dwordAt(config, 0x10 + 4 * index);
  if ((value & 1) !== 0) return { start: BigInt(value & ~3), kind: 'io', prefetchable: false };
  const prefetchable = (value & 8) !== 0;
  const low = BigInt((value & ~0xf) >>> 0);
  if ((value & 4) === 0) return { start: low, kind: 'memory32', prefetchable };
  return { start: low | (BigInt(dwordAt(config, 0x14 + 4 * index)) << 32n), kind: 'memory64', prefetchable };
}

describe.each(named)('%s', (_, facts) => {
  const { config, resources } = facts;

  it('names its registers in the resources, and the other way round', () => {
    if (facts.physicalFunction !== null) {
      for (let bar = 0; bar < 6; bar++) expect(dwordAt(config, 0x10 + 4 * bar)).toBe(0);
      return;
    }
    const bars = resources.filter(({ kind }) => kind !== 'rom');
    for (const { index, start, kind, prefetchable } of bars) {
      expect(decodedBar(facts, index)).toEqual({ start, kind, prefetchable });
    }
    const taken = new Set(
      bars.flatMap(({ index, kind }) => (kind === 'memory64' ? [index, index + 1] : [index])),
    );
    for (let bar = 0; bar < (isBridge(facts) ? 2 : 6); bar++) {
      if (!taken.has(bar)) expect(dwordAt(config, 0x10 + 4 * bar)).toBe(0);
    }
    const rom = resources.find(({ kind }) => kind === 'rom');
    const romRegister = dwordAt(config, isBridge(facts) ? 0x38 : 0x30);
    expect(BigInt(romRegister)).toBe(rom?.start ?? 0n);
  });

  it('has ranges that a BAR can decode', () => {
    for (const { start, size, kind } of resources) {
      expect(size & (size - 1n)).toBe(0n);
      expect(start % size).toBe(0n);
      expect(size).toBeGreaterThanOrEqual(kind === 'io' ? 4n : 16n);
      if (kind !== 'memory64') expect(start + size).toBeLessThanOrEqual(0x1_0000_0000n);
    }
  });

  it('has capability lists that end where they should, with nothing twice', () => {
    const standard = standardCapabilities(config);
    const last = standard.at(-1);
    if (last !== undefined) expect(byteAt(config, last.offset + 1)).toBe(0);
    expect(new Set(standard.map(({ id }) => id)).size).toBe(standard.length);
    expect(standard.length > 0).toBe((wordAt(config, 0x06) & 0x10) !== 0);

    const extended = extendedCapabilities(config);
    const end = extended.at(-1);
    if (end !== undefined) expect(dwordAt(config, end.offset) >>> 20).toBe(0);
    expect(new Set(extended.map(({ id }) => id)).size).toBe(extended.length);
    if (extended.length > 0) expect(findCapability(config, 0x10)).toBeDefined();
    expect(config.length).toBe(findCapability(config, 0x10) === undefined ? 256 : 4096);
  });

  it('keeps its MSI-X table and pending bits inside memory that it decodes', () => {
    const at = findCapability(config, 0x11);
    if (at === undefined) return;
    const entries = BigInt((wordAt(config, at + 2) & 0x7ff) + 1);
    const parts = [
      [dwordAt(config, at + 4), 16n * entries],
      [dwordAt(config, at + 8), 8n * ((entries + 63n) / 64n)],
    ] as const;
    for (const [where, bytes] of parts) {
      const bar = resources.find(({ index }) => index === (where & 7));
      expect(bar?.kind).toMatch(/^memory/);
      expect(BigInt((where & ~7) >>> 0) + bytes).toBeLessThanOrEqual(bar?.size ?? 0n);
    }
  });

  it('has an interrupt exactly when it has a pin', () => {
    expect(facts.irq !== 0).toBe(byteAt(config, 0x3d) !== 0);
  });

  it('is seized and compiled', () => {
    const seized = seizedFrom(facts, config);
    const filter = compileFilter(seized, defaultMode);
    expect(filter.length).toBe(config.length);
    expect(filter.msix === undefined).toBe(findCapability(config, 0x11) === undefined);
  });
});

describe('the collection', () => {
  it('gives no address twice and no byte of memory or I/O space to two functions', () => {
    expect(new Set(functions.map(({ sbdf }) => sbdf)).size).toBe(functions.length);
    for (const space of ['io', 'memory']) {
      const ranges = functions
        .flatMap(({ resources }) => resources)
        .filter(({ kind }) => (kind === 'io') === (space === 'io'))
        .sort((a, b) => (a.start < b.start ? -1 : 1));
      ranges.reduce((below, range) => {
        expect(below.start + below.size).toBeLessThanOrEqual(range.start);
        return range;
      });
    }
  });

  it('has a bridge above every function that is not on the root bus, whose windows let all of it through', () => {
    const bridges = functions.filter(isBridge);
    for (const facts of functions.filter(({ sbdf }) => busOf(sbdf) !== 0x40)) {
      const bridge = bridges.find(({ config }) => byteAt(config, 0x19) === busOf(facts.sbdf));
      expect(bridge).toBeDefined();
      if (bridge === undefined) continue;
      for (const { start, size, kind } of facts.resources) {
        const open = windowsOf(bridge.config, kind === 'io').some(
          ({ first, last }) => start >= first && start + size - 1n <= last,
        );
        expect(open).toBe(true);
      }
    }
  });

  it('marks functions that share a slot as multi-function', () => {
    for (const facts of functions) {
      const siblings = functions.filter(({ sbdf }) => slotOf(sbdf) === slotOf(facts.sbdf));
      expect((byteAt(facts.config, 0x0e) & 0x80) !== 0).toBe(siblings.length > 1);
    }
  });

  it('places the virtual function where the SR-IOV capability of its physical function says', () => {
    const virtual = captured('8086:10ca');
    const physical = functions.find(({ sbdf }) => sbdf === virtual.physicalFunction);
    expect(physical).toBeDefined();
    if (physical === undefined) return;
    const at = extendedCapabilities(physical.config).find(({ id }) => id === 0x10)?.offset ?? 0;
    expect(at).toBeGreaterThan(0);
    expect(segmentOf(virtual.sbdf)).toBe(segmentOf(physical.sbdf));
    expect(devfnOf(virtual.sbdf)).toBe(devfnOf(physical.sbdf) + wordAt(physical.config, at + 0x14));
    expect(virtual.device).toBe(wordAt(physical.config, at + 0x1a));
    for (const { index, start } of virtual.resources) {
      const low = dwordAt(physical.config, at + 0x24 + 4 * index);
      const high = dwordAt(physical.config, at + 0x28 + 4 * index);
      expect((BigInt(high) << 32n) | BigInt((low & ~0xf) >>> 0)).toBe(start);
    }
    expect(dwordAt(virtual.config, 0)).toBe(0xffff_ffff);
  });

  it('spans what differs from function to function', () => {
    const some = (holds: (facts: FunctionFacts) => boolean): boolean => functions.some(holds);
    expect(some(({ config }) => standardCapabilities(config).length === 0)).toBe(true);
    expect(some(({ resources }) => resources.some(({ start }) => start > 0xffff_ffffn))).toBe(true);
    expect(some(({ config }) => findCapability(config, 0x05) === undefined)).toBe(true);
    expect(some(({ resetMethods }) => resetMethods.includes('flr'))).toBe(true);
    expect(some(({ resetMethods }) => resetMethods.length === 0)).toBe(true);
  });
});

/** The address ranges that a PCI-to-PCI bridge passes on (PCI-to-PCI Bridge 1.2, 3.2.5.6 to 3.2.5.9). */
function windowsOf(config: Uint8Array, io: boolean): readonly { first: bigint; last: bigint }[] {
  if (io) {
    return [
      {
        first: BigInt((byteAt(config, 0x1c) & 0xf0) << 8),
        last: BigInt(((byteAt(config, 0x1d) & 0xf0) << 8) | 0xfff),
      },
    ];
  }
  const memory = (at: number, upperBase: number, upperLimit: number): { first: bigint; last: bigint } => ({
    first: (BigInt(upperBase) << 32n) | (BigInt(wordAt(config, at) & 0xfff0) << 16n),
    last: (BigInt(upperLimit) << 32n) | (BigInt(wordAt(config, at + 2) & 0xfff0) << 16n) | 0xf_ffffn,
  });
  return [memory(0x20, 0, 0), memory(0x24, dwordAt(config, 0x28), dwordAt(config, 0x2c))];
}
