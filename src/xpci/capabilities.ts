/**
 * Walks both capability lists. The lists come from the other side, so each walk has a limit, never visits an offset twice and
 * never leaves its space.
 */
import { allOnes, type ConfigSpace } from './config.ts';
import { CapabilityId, Register, statusCapabilityList } from './registers.ts';

export interface Capability {
  /** 8 bits in the standard list, 16 bits in the extended one. */
  readonly id: number;
  readonly offset: number;
  readonly extended: boolean;
  /** Version of an extended capability; 0 in the standard list, which has none. */
  readonly version: number;
}

const headerEnd = 0x40;
const conventionalEnd = 0x100;
const extendedEnd = 0x1000;
/** The smallest capability is a double word (standard) or two (extended): no list can be longer than this. */
const maxStandard = (conventionalEnd - headerEnd) / 4;
const maxExtended = (extendedEnd - conventionalEnd) / 8;

/** The list that starts at 0x34 (PCI Local Bus 3.0, 6.7). */
export function walkCapabilities(config: ConfigSpace): Capability[] {
  if ((config.read(Register.status, 2) & statusCapabilityList) === 0) return [];
  const found: Capability[] = [];
  const seen = new Set<number>();
  let offset = config.read(Register.capabilityPointer, 1) & ~3;
  while (offset >= headerEnd && !seen.has(offset) && seen.size < maxStandard) {
    seen.add(offset);
    const head = config.read(offset, 2);
    const id = head & 0xff;
    if (id === 0xff) break;
    found.push({ id, offset, extended: false, version: 0 });
    offset = (head >>> 8) & ~3;
  }
  return found;
}

/** The list that starts at 0x100 (PCI Express 3.0, 7.9). An empty list is a first header of zero. */
export function walkExtendedCapabilities(config: ConfigSpace): Capability[] {
  const found: Capability[] = [];
  const seen = new Set<number>();
  let offset = conventionalEnd;
  while (offset >= conventionalEnd && !seen.has(offset) && seen.size < maxExtended) {
    seen.add(offset);
    const head = config.read(offset, 4);
    if (head === 0 || head === allOnes(4)) break;
    found.push({ id: head & 0xffff, offset, extended: true, version: (head >>> 16) & 0xf });
    offset = (head >>> 20) & ~3;
  }
  return found;
}

export interface MsiShape {
  readonly offset: number;
  /** Vectors that the function could use: 1, 2, 4, 8, 16 or 32. */
  readonly vectors: number;
  readonly wide: boolean;
  readonly maskable: boolean;
}

export interface MsixShape {
  readonly offset: number;
  /** Entries of the table: 1..2048. */
  readonly entries: number;
  readonly table: { readonly bar: number; readonly offset: number };
  readonly pending: { readonly bar: number; readonly offset: number };
}

/** PCI Local Bus 3.0, 6.8.1.3. */
export function readMsi(config: ConfigSpace, capabilities: readonly Capability[]): MsiShape | null {
  const offset = offsetOf(capabilities, CapabilityId.msi);
  if (offset === undefined) return null;
  const control = config.read(offset + 2, 2);
  return {
    offset,
    vectors: 1 << ((control >>> 1) & 7),
    wide: (control & 0x80) !== 0,
    maskable: (control & 0x100) !== 0,
  };
}

/** PCI Local Bus 3.0, 6.8.2.3. */
export function readMsix(config: ConfigSpace, capabilities: readonly Capability[]): MsixShape | null {
  const offset = offsetOf(capabilities, CapabilityId.msix);
  if (offset === undefined) return null;
  const place = (at: number) => {
    const word = config.read(at, 4);
    return { bar: word & 7, offset: (word & ~7) >>> 0 };
  };
  return {
    offset,
    entries: (config.read(offset + 2, 2) & 0x7ff) + 1,
    table: place(offset + 4),
    pending: place(offset + 8),
  };
}

/** Offset of the first capability with this identifier in the standard or the extended list. */
export function offsetOf(
  capabilities: readonly Capability[],
  id: number,
  extended = false,
): number | undefined {
  return capabilities.find((capability) => capability.id === id && capability.extended === extended)?.offset;
}
