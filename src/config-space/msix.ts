/**
 * MSI-X (PCI Local Bus 3.0, 6.8.2), at `c`:
 *
 *     c+2  control    15 enable | 14 function mask | 10..0 table size - 1
 *     c+4  table      31..3 offset into the BAR | 2..0 BAR
 *     c+8  pending    31..3 offset into the BAR | 2..0 BAR
 */
import type { Resource } from './access.ts';
import { Msix } from './bits.ts';
import { msixControlRule, msixSwitchable } from './interrupts.ts';
import { dwordAt, wordAt } from './image.ts';
import { type Blueprint, capabilityHeader, forwarded, register, type Register, stable } from './register.ts';
import type { Seized } from './seize.ts';

export function msixRegisters(at: number, blueprint: Blueprint): readonly Register[] {
  const { mode } = blueprint;
  return [
    capabilityHeader('MSI-X', at, blueprint),
    mode.permissive
      ? register('MSI-X control', at + Msix.control, 2, { rule: forwarded, reaches: 0xffff })
      : register('MSI-X control', at + Msix.control, 2, {
          rule: msixControlRule,
          reaches: mode.interruptControl ? msixSwitchable : 0,
        }),
    stable('MSI-X table', at + Msix.table, 4, blueprint),
    stable('MSI-X pending bits', at + Msix.pendingBits, 4, blueprint),
  ];
}

/** Where a function's MSI-X structures lie, as it said when it was seized (XSA-337). */
export interface MsixTable {
  /** Entries of the table, 1..2048. */
  readonly entries: number;
  /** BAR that holds the table, and where the host placed it. */
  readonly bar: number;
  readonly barStart: bigint;
  /** Offset of the table into the BAR. */
  readonly offset: number;
}

/** The table, or undefined when the words do not name places inside memory BARs of the function. */
export function msixTableAt(at: number, { config, resources }: Seized): MsixTable | undefined {
  const entries = (wordAt(config, at + Msix.control) & Msix.tableSizeMask) + 1;
  const table = locate(dwordAt(config, at + Msix.table), entries * Msix.entryBytes, resources);
  // Pending bits come in whole quadwords, one bit an entry.
  const pending = locate(dwordAt(config, at + Msix.pendingBits), 8 * Math.ceil(entries / 64), resources);
  if (!table || !pending) return undefined;
  return { entries, bar: table.bar.index, barStart: table.bar.start, offset: table.offset };
}

function locate(
  word: number,
  bytes: number,
  resources: readonly Resource[],
): { readonly bar: Resource; readonly offset: number } | undefined {
  const index = word & Msix.barMask;
  const offset = (word & ~Msix.barMask) >>> 0;
  const bar = resources.find((resource) => resource.index === index && index < 6);
  if (!bar || bar.kind === 'io' || BigInt(offset + bytes) > bar.size) return undefined;
  return { bar, offset };
}
