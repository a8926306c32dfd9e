/** What holds for every function and everything that a guest does to it. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type AccessSize,
  compileFilter,
  type ConfigAccess,
  ConfigFilter,
  defaultMode,
  type FilterEffects,
  FunctionRecord,
  RamConfig,
  recordSize,
  seize,
} from '../../src/config-space/index.ts';
import { reapplyCommand } from '../../src/config-space/command.ts';
import { WriteLog } from '../../src/config-space/ram.ts';
import { NaiveFunction } from './naive-model.ts';
import { type Deed, randomDeeds, randomFunction, type RandomFunction, resolve } from './random-function.ts';

const bytesOf = (hardware: RamConfig): readonly number[] =>
  Array.from({ length: hardware.length }, (_, at) => hardware.read(at, 1));

class ProcessDied extends Error {}

/** Hardware under a process that dies before a write of its. */
class Fuse implements ConfigAccess {
  readonly length: 256 | 4096;
  readonly #hardware: ConfigAccess;
  left = Infinity;

  constructor(hardware: ConfigAccess) {
    this.length = hardware.length;
    this.#hardware = hardware;
  }

  read(offset: number, size: AccessSize): number {
    return this.#hardware.read(offset, size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (this.left === 0) throw new ProcessDied();
    this.left -= 1;
    this.#hardware.write(offset, size, value);
  }
}

/** A function, once behind the filter and once as the naive model has it. */
class Pair {
  readonly naive: NaiveFunction;
  readonly hardware: RamConfig;
  readonly #log: WriteLog;
  readonly #fuse: Fuse;
  readonly #effects: FilterEffects;
  #record = new ArrayBuffer(recordSize);
  readonly #fn: RandomFunction;
  #filter: ConfigFilter;
  #resets = 0;

  constructor(fn: RandomFunction) {
    const { config, identity, layout, mode, trust } = fn;
    this.#fn = fn;
    this.hardware = new RamConfig(config, layout.length);
    this.#log = new WriteLog(this.hardware);
    this.#fuse = new Fuse(this.#log);
    const table = compileFilter(seize(this.#log, identity), mode);
    this.#log.take();
    this.#effects = { resetRequested: () => void this.#resets++, contextLost: () => undefined };
    const record = FunctionRecord.create(this.#record, table.initialCommand);
    this.#filter = new ConfigFilter(table, this.#fuse, record, this.#effects);
    this.naive = new NaiveFunction(config, layout, trust, identity, identity.resources);
  }

  /** Does the same to both: what they answer, and which bytes of the hardware they write, must be the same. */
  perform(deed: Deed): void {
    const naive = this.naive;
    if (deed.do === 'read') {
      const offset = resolve(deed.where, deed.size, this.#fn);
      const err = this.#filter.read(offset, deed.size);
      deepStrictEqual({ err, value: this.#filter.value }, naive.read(offset, deed.size));
    } else if (deed.do === 'write') {
      const offset = resolve(deed.where, deed.size, this.#fn);
      const { value: seen } = naive.read(offset, deed.size);
      const value = deed.how === 'flip' ? seen ^ (1 << (deed.value % 32)) : deed.value | 0;
      const err = this.#write(offset, deed.size, value, deed.diesAfter);
      strictEqual(err, naive.write(offset, deed.size, value));
    } else if (deed.do === 'poke') {
      this.hardware.write(deed.offset, 1, deed.value);
      naive.poke(deed.offset, deed.value);
    } else if (deed.do === 'die') {
      this.#die();
    } else if (deed.do === 'recover') {
      if (this.#filter.record.contextLost) reapplyCommand(this.#filter);
      this.#filter.contextRestored();
      naive.recover();
    } else {
      this.#filter.resetFinished();
      naive.finishReset();
    }
    strictEqual(this.#resets, naive.resets);
    deepStrictEqual(this.#writtenBytes(), naive.written);
    naive.written.clear();
  }

  bytes(): readonly number[] {
    return bytesOf(this.hardware);
  }

  /** Nothing but the record's bytes and what was known when the function was seized goes to the next filter. */
  #die(): void {
    this.#record = this.#record.slice(0);
    const record = FunctionRecord.adopt(this.#record);
    if (!record) throw new TypeError('the record was not found again');
    this.#filter = new ConfigFilter(this.#filter.table, this.#fuse, record, this.#effects);
  }

  /** Writes, in a process that may die on the way: the request is pending still, and the next process is asked it again. */
  #write(offset: number, size: number, value: number, diesAfter: number | null): number {
    this.#fuse.left = diesAfter ?? Infinity;
    try {
      return this.#filter.write(offset, size, value);
    } catch (error) {
      if (!(error instanceof ProcessDied)) throw error;
      this.#die();
      this.#fuse.left = Infinity;
      return this.#filter.write(offset, size, value);
    } finally {
      this.#fuse.left = Infinity;
    }
  }

  #writtenBytes(): ReadonlySet<number> {
    const contents = this.#log.take();
    return new Set(
      contents.flatMap(({ offset, size }) => Array.from({ length: size }, (_, at) => offset + at)),
    );
  }
}

it('the filter and the naive model agree, however often the process dies', () => {
  fc.assert(
    fc.property(randomFunction, randomDeeds, (fn, deeds) => {
      const pair = new Pair(fn);
      expect(pair.bytes()).toEqual(pair.naive.bytes);
      for (const deed of deeds) pair.perform(deed);
      expect(pair.bytes()).toEqual(pair.naive.bytes);
    }),
    { numRuns: 400 },
  );
}, 60_000);

/** Bits of the hardware that a guest may change at all, written down by hand: for each byte a mask. */
function guestBits({ layout, trust }: RandomFunction): readonly number[] {
  const { length, isBridge, vpd, pm, msi, msix, pcie, af, sealed } = layout;
  const { permissive, interruptControl, quirk } = trust;
  const masks: number[] = Array.from({ length }, () => (permissive ? 0xff : 0));
  const set = (at: number | undefined, ...bytes: readonly number[]): void => {
    if (at !== undefined) bytes.forEach((mask, index) => (masks[at + index] = mask));
  };
  set(0x00, 0, 0, 0, 0);
  set(0x04, permissive ? 0xbf : 0x17, (permissive ? 0x02 : 0) | (interruptControl ? 0x04 : 0));
  set(0x0c, 0xff, 0);
  set(0x0f, 0xff);
  // An address that the function has lost may come back; BARs are looked at more closely elsewhere.
  for (let at = 0x10; at < (isBridge ? 0x18 : 0x28); at++) set(at, 0xff);
  set(isBridge ? 0x38 : 0x30, 0xff, 0xff, 0xff, 0xff);
  set(0x3c, 0, 0);
  set(vpd, 0, 0, 0xff, 0xff, 0, 0, 0, 0);
  set(pm, 0, 0, 0, 0, 0x03, 0x9e, 0, 0);
  set(msi, 0, 0, permissive ? 0xff : interruptControl ? 0x01 : 0, permissive ? 0xff : 0);
  set(msix, 0, 0, permissive ? 0xff : 0, permissive ? 0xff : interruptControl ? 0xc0 : 0);
  if (permissive && pcie !== undefined) set(pcie + 9, 0xff);
  if (permissive && af !== undefined) set(af + 4, 0xff);
  for (const [from, to] of sealed) for (let at = from; at < to; at++) set(at, 0);
  if (quirk)
    set(
      quirk.offset,
      ...Array.from({ length: quirk.size }, (_, index) => (quirk.mask >>> (8 * index)) & 0xff),
    );
  return masks;
}

/** Bytes that changed in bits outside of their mask. */
function forbidden(
  before: readonly number[],
  after: readonly number[],
  masks: readonly number[],
): readonly { readonly at: number; readonly changed: number }[] {
  return after.flatMap((byte, at) => {
    const changed = byte ^ (before[at] ?? 0);
    return (changed & ~(masks[at] ?? 0)) === 0 ? [] : [{ at, changed }];
  });
}

it('no guest changes a bit that it may not, nor switches off decoding, nor sets off a reset', () => {
  fc.assert(
    fc.property(randomFunction, randomDeeds, (fn, deeds) => {
      const pair = new Pair(fn);
      const masks = guestBits(fn);
      const { vpd, pcie, af } = fn.layout;
      for (const deed of deeds) {
        const before = pair.bytes();
        pair.perform(deed);
        if (deed.do === 'poke') continue;
        const after = pair.bytes();
        expect(forbidden(before, after, masks)).toEqual([]);
        expect((before[0x04] ?? 0) & ~(after[0x04] ?? 0) & 0x03).toBe(0);
        // Bits that start something, and that a guest may at most clear.
        const started = (at: number | undefined, register: number): number =>
          at === undefined ? 0 : (after[at + register] ?? 0) & ~(before[at + register] ?? 0);
        expect(started(vpd, 3) & 0x80).toBe(0);
        expect(started(pcie, 9) & 0x80).toBe(0);
        expect(started(af, 4) & 0x01).toBe(0);
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);

it('whatever a function says of itself, a guest stays within the bounds of the table and nothing is thrown', () => {
  const known = [0x01, 0x03, 0x05, 0x09, 0x10, 0x11, 0x13, 0x14];
  const garbage = fc.record({
    bytes: fc.noShrink(fc.uint8Array({ minLength: 4096, maxLength: 4096 })),
    length: fc.constantFrom(256 as const, 4096 as const),
    pointer: fc.nat(0xff),
  });
  fc.assert(
    fc.property(garbage, randomDeeds, ({ bytes, length, pointer }, deeds) => {
      const config = Uint8Array.from(bytes.subarray(0, length));
      config[0x06] = 0x10;
      config[0x0e] = (config[0x0e] ?? 0) & 0x81;
      config[0x34] = pointer;
      // Capabilities that have rules, one on top of the other.
      for (let at = 0x40; at < 0x100; at += 4) config[at] = known[(config[at] ?? 0) % 8] ?? 0;
      const hardware = new RamConfig(config, length);
      const identity = { vendor: 1, device: 2, resources: [], irq: 3, physicalFunction: null };
      const table = compileFilter(seize(hardware, identity), defaultMode);
      const record = FunctionRecord.create(new ArrayBuffer(recordSize), table.initialCommand);
      const filter = new ConfigFilter(table, hardware, record, {
        resetRequested: () => filter.resetFinished(),
        contextLost: () => undefined,
      });
      const reachable = Array.from({ length }, () => 0);
      for (const { offset, size, reaches, rule } of table.registers) {
        for (let at = 0; at < size; at++) reachable[offset + at] = rule ? (reaches >>> (8 * at)) & 0xff : 0;
      }
      for (const deed of deeds) {
        if (deed.do !== 'write') continue;
        const before = bytesOf(hardware);
        const offset = 'offset' in deed.where ? deed.where.offset : deed.where.spot & 0xff & -deed.size;
        filter.write(offset, deed.size, deed.value | 0);
        expect(forbidden(before, bytesOf(hardware), reachable)).toEqual([]);
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);
