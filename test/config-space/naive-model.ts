/**
 * The filter once more, as simple as can be and in another way: a list of fields that is gone through from front to end for
 * every access, over an array of bytes. It knows where everything is because it is told, not because it looked.
 */
import type { Resource } from '../../src/config-space/index.ts';

export interface Layout {
  readonly length: 256 | 4096;
  readonly isBridge: boolean;
  /** Offsets of capabilities; absent ones are undefined. */
  readonly vpd?: number | undefined;
  readonly pm?: number | undefined;
  readonly msi?: number | undefined;
  readonly msix?: number | undefined;
  readonly pcie?: number | undefined;
  readonly af?: number | undefined;
  /** Ranges that nobody may write: first byte, and the byte after the last. */
  readonly sealed: readonly (readonly [number, number])[];
  /** Further bytes that are served as they were when the function was seized, unless the mode is permissive. */
  readonly frozen: readonly number[];
}

export interface Trust {
  readonly permissive: boolean;
  readonly interruptControl: boolean;
  readonly quirk?: { readonly offset: number; readonly size: number; readonly mask: number } | undefined;
}

interface Field {
  readonly start: number;
  readonly size: number;
  readonly see: () => number;
  readonly put: (value: number) => number;
}

const bit = (value: number, index: number): boolean => Math.floor(value / 2 ** index) % 2 === 1;

export class NaiveFunction {
  readonly bytes: number[];
  readonly written = new Set<number>();
  readonly #layout: Layout;
  readonly #trust: Trust;
  readonly #fields: Field[] = [];
  readonly #seized: number[];
  readonly #resources: readonly Resource[];
  #shadow: number;
  #isEnabled = false;
  #isResetting = false;
  #isLost = false;
  #resets = 0;

  constructor(
    config: Uint8Array,
    layout: Layout,
    trust: Trust,
    ids: { readonly vendor: number; readonly device: number; readonly irq: number },
    resources: readonly Resource[],
  ) {
    this.#layout = layout;
    this.#trust = trust;
    this.#resources = resources;
    this.bytes = [...config].slice(0, layout.length);
    this.#seize();
    this.#seized = [...this.bytes];
    this.#shadow = this.#get(4, 2);
    this.#header(ids);
    this.#capabilities();
    const { quirk } = trust;
    if (quirk) {
      this.#field(quirk.offset, quirk.size, (value) => {
        let next = 0;
        for (let i = 0; i < 8 * quirk.size; i++) {
          if (bit(bit(quirk.mask, i) ? value : this.#get(quirk.offset, quirk.size), i)) next += 2 ** i;
        }
        return this.#set(quirk.offset, quirk.size, next);
      });
    }
  }

  /** Resets that were asked for so far. */
  get resets(): number {
    return this.#resets;
  }

  finishReset(): void {
    this.#isResetting = false;
    this.#isLost = false;
  }

  /** What it forgot on its way out of D3hot has come back. */
  recover(): void {
    if (!this.#isLost) return;
    this.#isLost = false;
    if (bit(this.#shadow, 4)) this.#fitCacheLine();
    let next = 0;
    for (let index = 0; index < 16; index++) {
      const isShadow = this.#own.includes(index) || (index === 10 && this.#trust.interruptControl);
      if (bit(isShadow ? this.#shadow : this.#get(4, 2), index)) next += 2 ** index;
    }
    if (next !== this.#get(4, 2)) this.#set(4, 2, next);
    if (this.#isEnabled) this.#decode();
  }

  /** Bits of the command register that the guest has in hardware. */
  get #own(): readonly number[] {
    return this.#trust.permissive ? [2, 3, 4, 5, 7, 9] : [2, 4];
  }

  poke(offset: number, value: number): void {
    this.bytes[offset] = value;
  }

  read(offset: number, size: number): { readonly err: number; readonly value: number } {
    if (!this.#isProper(offset, size)) return { err: -2, value: 0 };
    if (this.#isResetting) return { err: 0, value: 2 ** (8 * size) - 1 };
    let value = 0;
    for (let at = offset + size - 1; at >= offset; at--) value = value * 256 + this.#seenByte(at);
    return { err: 0, value };
  }

  write(offset: number, size: number, raw: number): number {
    if (!this.#isProper(offset, size)) return -2;
    if (this.#isResetting) return 0;
    const bytes = Array.from({ length: size }, (_, index) => Math.floor((raw >>> 0) / 256 ** index) % 256);
    const asksForReset = this.#stripReset(offset, bytes);

    let err = 0;
    let handled = false;
    for (const { start, size: width, see, put } of this.#fields) {
      if (start >= offset + size || start + width <= offset) continue;
      handled = true;
      const merged = Array.from({ length: width }, (_, index) => Math.floor(see() / 256 ** index) % 256);
      bytes.forEach((byte, index) => {
        const at = offset + index - start;
        if (at >= 0 && at < width) merged[at] = byte;
      });
      err = put(merged.reduceRight((value, byte) => value * 256 + byte, 0));
    }
    if (!handled && this.#trust.permissive && !this.#isSealed(offset)) {
      bytes.forEach((byte, index) => this.#set(offset + index, 1, byte));
    }
    if (asksForReset) {
      this.#isResetting = true;
      this.#resets++;
    }
    return handled ? err : 0;
  }

  #isProper(offset: number, size: number): boolean {
    return (
      [1, 2, 4].includes(size) && offset >= 0 && offset + size <= this.#layout.length && offset % size === 0
    );
  }

  #isSealed(offset: number): boolean {
    return this.#layout.sealed.some(([from, to]) => offset >= from && offset < to);
  }

  #seenByte(at: number): number {
    for (const { start, size, see } of this.#fields) {
      if (at >= start && at < start + size) return Math.floor(see() / 256 ** (at - start)) % 256;
    }
    const isFrozen = this.#layout.frozen.includes(at) && !this.#trust.permissive;
    return (isFrozen ? this.#seized : this.bytes)[at] ?? 0;
  }

  /** Takes the bit that asks for a reset out of what is written; tells whether one is to be had. */
  #stripReset(offset: number, bytes: number[]): boolean {
    const { pcie, af } = this.#layout;
    let asked = false;
    bytes.forEach((byte, index) => {
      const at = offset + index;
      if (pcie !== undefined && at === pcie + 9 && bit(byte, 7)) {
        bytes[index] = byte - 0x80;
        asked ||= bit(this.#seized[pcie + 7] ?? 0, 4);
      }
      if (af !== undefined && at === af + 4 && bit(byte, 0)) {
        bytes[index] = byte - 1;
        asked ||= bit(this.#seized[af + 3] ?? 0, 1);
      }
    });
    return asked;
  }

  #seize(): void {
    const { pm, msi, msix } = this.#layout;
    const clear = (at: number, index: number): void => {
      const byte = this.bytes[at] ?? 0;
      if (bit(byte, index)) this.bytes[at] = byte - 2 ** index;
    };
    if (msi !== undefined) clear(msi + 2, 0);
    if (msix !== undefined) clear(msix + 3, 7);
    if (msix !== undefined) clear(msix + 3, 6);
    if (pm !== undefined) clear(pm + 5, 0);
    clear(4, 2);
  }

  #get(offset: number, size: number): number {
    let value = 0;
    for (let at = offset + size - 1; at >= offset; at--) value = value * 256 + (this.bytes[at] ?? 0);
    return value;
  }

  #set(offset: number, size: number, value: number): number {
    for (let index = 0; index < size; index++) {
      this.bytes[offset + index] = Math.floor(value / 256 ** index) % 256;
      this.written.add(offset + index);
    }
    return 0;
  }

  #field(
    start: number,
    size: number,
    put: (value: number) => number = () => 0,
    see = () => this.#get(start, size),
  ): void {
    this.#fields.push({ start, size, see, put });
  }

  #constant(start: number, size: number, value: number): void {
    this.#field(start, size, undefined, () => value);
  }

  #header({
    vendor,
    device,
    irq,
  }: {
    readonly vendor: number;
    readonly device: number;
    readonly irq: number;
  }): void {
    this.#constant(0x00, 2, vendor);
    this.#constant(0x02, 2, device);
    this.#field(
      0x04,
      2,
      (value) => this.#putCommand(value),
      () => this.#seeCommand(),
    );
    this.#constant(0x3c, 1, irq % 256);
    this.#constant(0x3d, 1, this.#seized[0x3d] ?? 0);
    this.#field(0x0c, 1, (value) => this.#set(0x0c, 1, value));
    this.#field(0x0d, 1);
    this.#field(0x0f, 1, (value) => {
      const current = this.#get(0x0f, 1);
      const without = (byte: number): number => (bit(byte, 6) ? byte - 0x40 : byte);
      return value === 0x40 || without(value) === without(current) ? this.#set(0x0f, 1, value) : 0;
    });
    for (let bar = 0; bar < (this.#layout.isBridge ? 2 : 6); bar++) this.#bar(bar);
    const rom = this.#resources.find(({ index }) => index === 6);
    this.#range(this.#layout.isBridge ? 0x38 : 0x30, 11, rom ? [rom.start, -rom.size] : [0n, 0n], 0);
  }

  #bar(bar: number): void {
    const own = this.#resources.find(({ index }) => index === bar);
    const below = this.#resources.find(({ index }) => index === bar - 1);
    const offset = 0x10 + 4 * bar;
    if (below?.kind === 'memory64') {
      this.#range(offset, 0, [below.start >> 32n, -below.size >> 32n], 0);
    } else if (own) {
      const flags = own.kind === 'io' ? 1 : (own.kind === 'memory64' ? 4 : 0) + (own.prefetchable ? 8 : 0);
      this.#range(offset, own.kind === 'io' ? 2 : 4, [own.start, -own.size], flags);
    } else {
      this.#range(offset, 4, [0n, 0n], 0);
    }
  }

  /** A register that shows an address, or how many of its bits there are, above `typeBits` bits that a probe may leave out. */
  #range(offset: number, typeBits: number, [start, size]: readonly [bigint, bigint], flags: number): void {
    const address = Number(BigInt.asUintN(32, start)) + flags;
    const length = size === 0n ? 0 : Number(BigInt.asUintN(32, size)) + flags;
    let isSizing = false;
    const put = (value: number): number => {
      isSizing = Math.floor(value / 2 ** typeBits) === 2 ** (32 - typeBits) - 1;
      if (isSizing || this.#isLost || value !== address || this.#get(offset, 4) === address) return 0;
      return this.#set(offset, 4, address);
    };
    this.#field(offset, 4, put, () => (isSizing ? length : address));
  }

  #seeCommand(): number {
    let value = 0;
    for (let index = 0; index < 16; index++) {
      const isHardware = [2, 3, 4, 5, 7, 9].includes(index);
      const hardware = this.#isLost && this.#own.includes(index) ? this.#shadow : this.#hardwareCommand;
      if (bit(isHardware ? hardware : this.#shadow, index)) value += 2 ** index;
    }
    return value;
  }

  get #hardwareCommand(): number {
    return this.#isLost ? this.#word(4) : this.#get(4, 2);
  }

  #decode(): void {
    for (const { kind } of this.#resources) {
      if (kind === 'io') this.#command(0, true);
      else if (kind !== 'rom') this.#command(1, true);
    }
  }

  #fitCacheLine(): void {
    const line = this.#get(0x0c, 1);
    if (line < 16 || line % 16 > 0) this.#set(0x0c, 1, 16);
  }

  #command(index: number, on: boolean): void {
    const now = this.#get(4, 2);
    if (bit(now, index) !== on) this.#set(4, 2, on ? now + 2 ** index : now - 2 ** index);
  }

  #putCommand(value: number): number {
    if (bit(value, 0) || bit(value, 1)) {
      if (!this.#isEnabled) this.#wake();
    }
    if (this.#isLost) {
      this.#isEnabled = bit(value, 0) || bit(value, 1);
      this.#shadow = value;
      return 0;
    }
    if (bit(value, 0) || bit(value, 1)) {
      this.#decode();
      this.#isEnabled = true;
    } else if (this.#isEnabled) {
      this.#command(2, false);
      this.#isEnabled = false;
    }
    this.#command(2, bit(value, 2));
    if (bit(value, 4) && !bit(this.#shadow, 4)) {
      this.#fitCacheLine();
      this.#command(4, true);
    }
    if (!bit(value, 4) && bit(this.#shadow, 4)) this.#command(4, false);
    if (this.#trust.interruptControl && bit(value, 10) !== bit(this.#shadow, 10)) {
      this.#command(10, bit(value, 10));
    }
    this.#shadow = value;
    if (this.#trust.permissive && this.#get(4, 2) !== value) {
      let next = 0;
      for (let index = 0; index < 16; index++) {
        const isGuests = [2, 3, 4, 5, 7, 9].includes(index);
        if (bit(isGuests ? value : this.#get(4, 2), index)) next += 2 ** index;
      }
      this.#set(4, 2, next);
    }
    return 0;
  }

  #wake(): void {
    const { pm } = this.#layout;
    if (pm === undefined) return;
    const now = this.#get(pm + 4, 2);
    this.#isLost ||= now % 4 === 3 && !bit(now, 3);
    if (now % 4 !== 0) this.#set(pm + 4, 2, (now % 0x8000) - (now % 4));
  }

  #capabilities(): void {
    const { vpd, pm, msi, msix } = this.#layout;
    if (vpd !== undefined) {
      this.#constant(vpd, 2, this.#word(vpd));
      this.#field(vpd + 2, 2, (value) => (value >= 0x8000 ? -3 : this.#set(vpd + 2, 2, value)));
      this.#field(vpd + 4, 4);
    }
    if (pm !== undefined) {
      this.#constant(pm, 2, this.#word(pm));
      this.#constant(pm + 2, 2, this.#word(pm + 2) % 0x800);
      this.#field(pm + 4, 2, (value) => this.#putPower(pm, value));
      this.#field(pm + 6, 1);
      this.#field(pm + 7, 1);
    }
    if (msi !== undefined) this.#interrupts(msi, [0], 0);
    if (msix !== undefined) this.#interrupts(msix, [14, 15], 15);
  }

  #word(at: number): number {
    return (this.#seized[at] ?? 0) + 256 * (this.#seized[at + 1] ?? 0);
  }

  #putPower(pm: number, value: number): number {
    const now = this.#get(pm + 4, 2);
    const state = now % 4;
    const wanted = value % 4;
    const isThere = [true, bit(this.#word(pm + 2), 9), bit(this.#word(pm + 2), 10), true][wanted] ?? false;
    const isRefused = wanted !== state && wanted !== 0 && (wanted < state || !isThere);
    let next = 0;
    for (let index = 0; index < 16; index++) {
      const isGuests = [9, 10, 11, 12, 15].includes(index) || (index < 2 && !isRefused);
      if (bit(isGuests ? value : now, index)) next += 2 ** index;
    }
    this.#isLost ||= state === 3 && wanted === 0 && !bit(now, 3);
    if (next !== now || bit(value, 15)) this.#set(pm + 4, 2, next);
    return isRefused ? -3 : 0;
  }

  #interrupts(at: number, switchable: readonly number[], enable: number): void {
    this.#constant(at, 2, this.#word(at));
    this.#field(at + 2, 2, (value) => {
      if (this.#trust.permissive) return this.#set(at + 2, 2, value);
      const now = this.#get(at + 2, 2);
      if (value === now) return 0;
      if (!this.#trust.interruptControl) return -3;
      for (let index = 0; index < 16; index++) {
        if (bit(value, index) !== bit(now, index) && !switchable.includes(index)) return -3;
      }
      const { msi, msix } = this.#layout;
      const other =
        enable === 0
          ? msix !== undefined && bit(this.#get(msix + 2, 2), 15)
          : msi !== undefined && bit(this.#get(msi + 2, 2), 0);
      if (bit(value, enable) && other) return -3;
      return this.#set(at + 2, 2, value);
    });
  }
}
