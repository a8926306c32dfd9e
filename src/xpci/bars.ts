/**
 * Sizing of base address registers: write all ones, and the bits that stay zero say how much the function decodes (PCI Local
 * Bus 3.0, 6.2.5.1).
 */
import type { ConfigSpace } from './config.ts';
import { CommandBit, HeaderType, Register } from './registers.ts';

export interface Bar {
  /** 0..5, or 6 for the expansion ROM. A 64-bit BAR has the index of its lower register. */
  readonly index: number;
  readonly kind: 'io' | 'memory32' | 'memory64' | 'rom';
  readonly prefetchable: boolean;
  readonly base: bigint;
  readonly size: bigint;
}

const romIndex = 6;
const ioFlags = 0x3;
const memoryFlags = 0xf;
const isIo = 0x1;
const is64Bit = 0x4;
const isPrefetchable = 0x8;
/** The low bits of a ROM register are the enable bit and reserved ones. */
const romFlags = 0x7ff;

/** Registers of a header layout: how many BARs, and where the ROM is. */
const layouts: Readonly<Record<number, { readonly bars: number; readonly rom: number }>> = {
  [HeaderType.endpoint]: { bars: 6, rom: Register.rom },
  [HeaderType.bridge]: { bars: 2, rom: Register.bridgeRom },
};

/**
 * Sizes all BARs and the ROM. Every register is put back, and decoding is off meanwhile, since a function whose BAR holds all
 * ones would answer for addresses that are not its own. BARs that decode nothing are left out.
 */
export function sizeBars(config: ConfigSpace, headerLayout: number): Bar[] {
  const layout = layouts[headerLayout];
  if (!layout) return [];
  const command = config.read(Register.command, 2);
  const decode = command & (CommandBit.io | CommandBit.memory);
  if (decode !== 0) config.write(Register.command, 2, command & ~decode);

  const bars: Bar[] = [];
  for (let index = 0; index < layout.bars; index += 1) {
    const bar = sizeBar(config, index, index + 1 < layout.bars);
    if (bar && bar.size > 0n) bars.push(bar);
    if (bar?.kind === 'memory64') index += 1;
  }
  const rom = sizeRom(config, layout.rom);
  if (rom.size > 0n) bars.push(rom);

  if (decode !== 0) config.write(Register.command, 2, command);
  return bars;
}

function sizeBar(config: ConfigSpace, index: number, hasUpper: boolean): Bar | null {
  const offset = Register.bar0 + 4 * index;
  const [value, mask] = probe(config, offset, 0xffff_ffff);
  if (mask === 0) return null;
  if ((mask & isIo) !== 0) {
    return {
      index,
      kind: 'io',
      prefetchable: false,
      base: BigInt((value & ~ioFlags) >>> 0),
      size: sizeOf(BigInt((mask & ~ioFlags) >>> 0), 32n),
    };
  }
  const prefetchable = (mask & isPrefetchable) !== 0;
  let base = BigInt((value & ~memoryFlags) >>> 0);
  let sizing = BigInt((mask & ~memoryFlags) >>> 0);
  // A last register that claims to be the lower half of a pair has no upper half: it is taken as 32-bit.
  if ((mask & is64Bit) === 0 || !hasUpper) {
    return { index, kind: 'memory32', prefetchable, base, size: sizeOf(sizing, 32n) };
  }
  const [upper, upperMask] = probe(config, offset + 4, 0xffff_ffff);
  base |= BigInt(upper) << 32n;
  sizing |= BigInt(upperMask) << 32n;
  return { index, kind: 'memory64', prefetchable, base, size: sizeOf(sizing, 64n) };
}

/** Only the address bits are set: the enable bit stays off, so that the ROM does not answer while it is sized. */
function sizeRom(config: ConfigSpace, offset: number): Bar {
  const [value, mask] = probe(config, offset, ~romFlags >>> 0);
  return {
    index: romIndex,
    kind: 'rom',
    prefetchable: false,
    base: BigInt((value & ~romFlags) >>> 0),
    size: sizeOf(BigInt((mask & ~romFlags) >>> 0), 32n),
  };
}

/** What the register held, and what it shows after `ones` were written to it. It holds its old value again afterwards. */
function probe(config: ConfigSpace, offset: number, ones: number): readonly [value: number, mask: number] {
  const value = config.read(offset, 4);
  config.write(offset, 4, ones);
  const mask = config.read(offset, 4);
  config.write(offset, 4, value);
  return [value, mask];
}

/**
 * The lowest address bit that could be set is the size. A 16-bit I/O BAR may leave its upper half zero, which this rule takes
 * in its stride.
 */
function sizeOf(addressBits: bigint, width: bigint): bigint {
  return BigInt.asUintN(Number(width), addressBits & -addressBits);
}
