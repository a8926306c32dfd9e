import type { Resource } from '../config-space/access.ts';

/** Flags of a line in a `resource` attribute (Linux include/linux/ioport.h). */
const Flag = {
  io: 0x100n,
  memory: 0x200n,
  prefetch: 0x2000n,
  memory64: 0x10_0000n,
  disabled: 0x1000_0000n,
  unset: 0x2000_0000n,
  busy: 0x8000_0000n,
  /** Of the ROM line only: the address is that of a copy in RAM, not what the register decodes. */
  romShadow: 0x2n,
} as const;

/** The low bits of the register are in the flags too; before MEM_64 they alone told (PCI Local Bus 3.0, 6.2.5.1). */
const memoryType = { mask: 0x6n, is64: 0x4n } as const;

const romLine = 6;
const lastBar = 5;

const line = /^0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16})$/i;

/**
 * Reads the `resource` attribute: a line `start end flags` for each BAR, then the ROM; windows of bridges and BARs of virtual
 * functions follow and are not ours. Like Linux xen-pciback it takes no range that is unset, disabled or claimed. Throws a
 * RangeError that says what is wrong with which line.
 */
export function parseResources(text: string): readonly Resource[] {
  const resources: Resource[] = [];
  const rows = text === '' ? [] : text.split('\n').slice(0, romLine + 1);
  for (const [index, row] of rows.entries()) {
    const resource = parseLine(index, row);
    if (resource === undefined) continue;
    const below = resources.at(-1);
    if (below?.kind === 'memory64' && below.index === index - 1) {
      throw new RangeError(`line ${index + 1}: the register is the upper half of a 64-bit BAR`);
    }
    resources.push(resource);
  }
  return resources;
}

function parseLine(index: number, row: string): Resource | undefined {
  const [, startHex, endHex, flagsHex] = line.exec(row.trim()) ?? [];
  if (startHex === undefined || endHex === undefined || flagsHex === undefined) {
    throw new RangeError(`line ${index + 1} is not three numbers`);
  }
  const start = BigInt(`0x${startHex}`);
  const end = BigInt(`0x${endHex}`);
  const flags = BigInt(`0x${flagsHex}`);
  const has = (flag: bigint): boolean => (flags & flag) !== 0n;
  if (flags === 0n || (start === 0n && end === 0n)) return undefined;
  if (has(Flag.disabled) || has(Flag.unset) || has(Flag.busy)) return undefined;
  if (index === romLine && has(Flag.romShadow)) return undefined;

  const size = end - start + 1n;
  if (size <= 0n || (size & (size - 1n)) !== 0n || start % size !== 0n) {
    throw new RangeError(`line ${index + 1}: no BAR can decode 0x${startHex} to 0x${endHex}`);
  }
  const is64 = has(Flag.memory64) || (flags & memoryType.mask) === memoryType.is64;
  const kind = kindOf(index, has(Flag.io), has(Flag.memory), is64);
  if (kind === undefined) throw new RangeError(`line ${index + 1}: flags 0x${flagsHex} make no sense`);
  return { index, kind, prefetchable: kind !== 'io' && kind !== 'rom' && has(Flag.prefetch), start, size };
}

function kindOf(index: number, io: boolean, memory: boolean, is64: boolean): Resource['kind'] | undefined {
  if (io === memory) return undefined;
  if (index === romLine) return memory ? 'rom' : undefined;
  if (io) return 'io';
  if (!is64) return 'memory32';
  return index < lastBar ? 'memory64' : undefined;
}
