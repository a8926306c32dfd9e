/**
 * The vocabulary in which rules are written down. A register is where it is, what a read of it shows, and what becomes of a
 * write:
 *
 *     read  =  (hardware & live) | (shown & ~live)
 *     write =  the register's rule; `open` registers have none
 *
 * No rule means: in default mode a write is dropped, in permissive mode it reaches the hardware as it is.
 */
import { WireError } from '../ring/layout.ts';
import type { AccessSize } from './access.ts';
import type { ConfigFilter } from './filter.ts';
import type { FilterMode } from './mode.ts';
import { valueAt, widthMask, wordAt } from './image.ts';
import type { Seized } from './seize.ts';

export interface WriteRule {
  /** What becomes of a write, in a few words for people. */
  readonly meaning: string;
  /**
   * Decides on a write and performs it. `value` is as wide as the register: what was not written is as a read shows it. That of
   * a register of four bytes is signed.
   */
  apply(filter: ConfigFilter, register: Register, value: number): WireError;
}

export interface Register {
  readonly name: string;
  readonly offset: number;
  /** Bytes: 1, 2 or 4, and aligned to it. */
  readonly size: number;
  /** Bits that a read takes from the hardware. */
  readonly live: number;
  /** What a read shows in the other bits: how the register was when it was seized, or a shadow's first value. */
  readonly shown: number;
  /** Null when nothing special is known of the register: it is `open`. */
  readonly rule: WriteRule | null;
  /** Bits that the rule may change in the hardware, in some state or other. */
  readonly reaches: number;
  /** Bits that are cleared by writing one, and must therefore be written as zero when they are not meant. */
  readonly clears: number;
  /** Bits that are never written to the hardware as one. */
  readonly drops: number;
  /** Those of them that ask for a reset of the function. */
  readonly resets: number;
}

/** What registers are built from. */
export interface Blueprint {
  readonly seized: Seized;
  readonly mode: FilterMode;
}

type Traits = Partial<Omit<Register, 'name' | 'offset' | 'size'>>;

/** A register with the given traits. Unless told otherwise it is open and shows the hardware. */
export const register = (name: string, offset: number, size: number, traits: Traits = {}): Register => ({
  name,
  offset,
  size,
  live: traits.live ?? -1,
  shown: traits.shown ?? 0,
  rule: traits.rule ?? null,
  reaches: traits.reaches ?? 0,
  clears: traits.clears ?? 0,
  drops: traits.drops ?? 0,
  resets: traits.resets ?? 0,
});

/** A register that writes never change. One that asks for something else than what is there is denied. */
export const ignored: WriteRule = {
  meaning: 'read-only',
  apply(filter, { offset, size }, value) {
    if (value !== filter.view(offset, size)) filter.deny(offset);
    return WireError.success;
  },
};

/** A register whose bits in `reaches` are the guest's; the others stay as they are. */
export const forwarded: WriteRule = {
  meaning: 'forwarded',
  apply(filter, { offset, size, reaches, clears }, value) {
    const { hardware, record } = filter;
    if (record.contextLost) record.noteOwn(offset, size);
    const width = size as AccessSize;
    const fixed = ~reaches & ~clears & widthMask(size);
    if (fixed === 0) {
      hardware.write(offset, width, (value & reaches) >>> 0);
      return WireError.success;
    }
    const current = hardware.read(offset, width);
    const refused = (value ^ current) & fixed;
    if (refused !== 0) {
      filter.deny(offset);
      record.noteRefused(offset, refused);
    }
    hardware.write(offset, width, ((value & reaches) | (current & fixed)) >>> 0);
    return WireError.success;
  },
};

/**
 * An open register that hardware never changes by itself: it is read once. In permissive mode a guest may have written it, so
 * there the hardware is asked.
 */
export const stable = (
  name: string,
  offset: number,
  size: AccessSize,
  { seized, mode }: Blueprint,
): Register =>
  mode.permissive
    ? register(name, offset, size)
    : register(name, offset, size, { live: 0, shown: valueAt(seized.config, offset, size) });

/** The first word of a capability, its identifier and the pointer to the next: never writable, in any mode. */
export const capabilityHeader = (name: string, at: number, { seized }: Blueprint): Register =>
  register(`${name} capability`, at, 2, { live: 0, shown: wordAt(seized.config, at), rule: ignored });

/** Dwords that are never writable, in any mode. */
export const sealed = (name: string, at: number, bytes: number): readonly Register[] =>
  Array.from({ length: bytes >>> 2 }, (_, dword) => register(name, at + 4 * dword, 4, { rule: ignored }));
