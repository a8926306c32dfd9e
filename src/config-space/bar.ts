/**
 * Base address registers and the expansion ROM (PCI Local Bus 3.0, 6.2.5).
 *
 *      31                              4   3    2   1   0            31                          2   1   0
 *     +----------------------------------+----+-------+---+         +------------------------------+---+---+
 *     |          base address            | pf |  type | 0 |         |     base address (I/O)       | 0 | 1 |
 *     +----------------------------------+----+-------+---+         +------------------------------+---+---+
 *                                               type 2 (bit 2 set): the next register holds the upper 32 bits
 *
 * A guest sees the addresses that the host assigned, and cannot change them. It finds out how much a register decodes by
 * writing all ones; the hardware never sees that. The one write that may reach the hardware puts back the address that the
 * function has lost in a reset or in D3.
 */
import { WireError } from '../ring/layout.ts';
import type { Resource } from './access.ts';
import { Bar, Header, headerTypeMask } from './bits.ts';
import type { ConfigFilter } from './filter.ts';
import { byteAt } from './image.ts';
import { type Blueprint, register, type Register, type WriteRule } from './register.ts';
import type { Seized } from './seize.ts';

/** BARs 0 to 5, and the expansion ROM as number 6. A type 1 header has 0, 1 and 6 only. */
export const barCount = 7;
export const romIndex = 6;

/** What the BARs of a function show, by number. A register that decodes nothing shows zero, also when it is sized. */
export interface BarTable {
  /** 0 where the header has no such register. */
  readonly offsets: Uint8Array;
  readonly addresses: Uint32Array;
  readonly sizes: Uint32Array;
  /** Low bits that all ones need not cover: nothing in the upper half of a 64-bit BAR. */
  readonly typeMasks: Uint32Array;
}

const low32 = (value: bigint): number => Number(BigInt.asUintN(32, value));
const high32 = (value: bigint): number => low32(value >> 32n);

/** The bits below the address: what kind of range it is. */
function typeBits({ kind, prefetchable }: Resource): number {
  if (kind === 'io') return Bar.io;
  if (kind === 'rom') return 0;
  return (kind === 'memory64' ? Bar.memory64 : 0) | (prefetchable ? Bar.prefetchable : 0);
}

export function barTable({ config, resources }: Seized): BarTable {
  const table: BarTable = {
    offsets: new Uint8Array(barCount),
    addresses: new Uint32Array(barCount),
    sizes: new Uint32Array(barCount),
    typeMasks: new Uint32Array(barCount),
  };
  const isBridge = (byteAt(config, Header.headerType) & headerTypeMask) === 1;
  const bars = isBridge ? 2 : 6;
  const at = (index: number): Resource | undefined =>
    resources.find((resource) => resource.index === index && resource.size > 0n);

  for (let bar = 0; bar < bars; bar++) {
    table.offsets[bar] = Header.bar0 + 4 * bar;
    const below = at(bar - 1);
    const resource = at(bar);
    if (below?.kind === 'memory64') {
      table.addresses[bar] = high32(below.start);
      table.sizes[bar] = high32(-below.size);
      table.typeMasks[bar] = 0;
    } else {
      table.typeMasks[bar] = resource?.kind === 'io' ? Bar.ioTypeMask : Bar.memoryTypeMask;
      if (resource) show(table, bar, resource);
    }
  }
  table.offsets[romIndex] = isBridge ? Header.bridgeRom : Header.rom;
  table.typeMasks[romIndex] = Bar.romTypeMask;
  const rom = at(romIndex);
  if (rom) show(table, romIndex, rom);
  return table;
}

function show(table: BarTable, bar: number, resource: Resource): void {
  table.addresses[bar] = low32(resource.start) | typeBits(resource);
  table.sizes[bar] = low32(-resource.size) | typeBits(resource);
}

const barAt = (offset: number): number =>
  offset === Header.rom || offset === Header.bridgeRom ? romIndex : (offset - Header.bar0) >>> 2;

/** Only the size probe and the return of the original address do anything. */
export const barRule: WriteRule = {
  meaning: 'all ones show the size; the original address is restored; anything else is ignored',
  apply(filter: ConfigFilter, { offset }: Register, value: number): WireError {
    const { hardware, record, table } = filter;
    const bar = barAt(offset);
    const address = table.bars.addresses[bar] ?? 0;
    const sizing = (value | (table.bars.typeMasks[bar] ?? 0)) === -1;
    if (!sizing) {
      if (value !== (address | 0)) filter.deny(offset);
      // One that has lost its context gets all of it back, when it may be touched.
      else if (!record.contextLost && hardware.read(offset, 4) !== address)
        hardware.write(offset, 4, address);
    }
    record.sizing = sizing ? record.sizing | (1 << bar) : record.sizing & ~(1 << bar);
    filter.showBar(bar);
    return WireError.success;
  },
};

export function barRegisters({ seized }: Blueprint): readonly Register[] {
  const { offsets, addresses } = barTable(seized);
  const rows: Register[] = [];
  offsets.forEach((offset, bar) => {
    if (offset === 0) return;
    const name = bar === romIndex ? 'Expansion ROM' : `BAR ${bar}`;
    rows.push(
      register(name, offset, 4, { live: 0, shown: addresses[bar] ?? 0, rule: barRule, reaches: 0xffff_ffff }),
    );
  });
  return rows;
}
