/** A compiled filter in words: register by register, what a guest may read and write. */
import type { CompiledFilter } from './compile.ts';
import { widthMask } from './image.ts';
import type { FunctionRecord } from './record.ts';
import type { Register } from './register.ts';

export interface RegisterDescription {
  readonly name: string;
  readonly offset: number;
  /** Bytes; a capability whose registers are all alike is one entry. */
  readonly size: number;
  /** Where a read gets its bits from: the hardware, the filter (as the function was seized, or a shadow), or both. */
  readonly reads: 'hardware' | 'filter' | 'both';
  /** What becomes of a write. */
  readonly writes: string;
  /** Bits that a write may change in the hardware, of registers of up to four bytes. */
  readonly reaches: number;
  /** Writes denied so far in the dword registers that it is part of; 65535 and more count as 65535. */
  readonly denied: number;
}

/** Describes every byte of the space once, in ascending order. Without a record nothing has been denied. */
export function describe(table: CompiledFilter, record?: FunctionRecord): readonly RegisterDescription[] {
  const rows: RegisterDescription[] = [];
  let end = 0;
  for (const row of table.registers) {
    if (row.offset > end) rows.push(describeGround(table, end, row.offset - end, record));
    const next = describeRegister(table, row, record);
    const last = rows.at(-1);
    if (last && isContinued(last, next))
      rows[rows.length - 1] = { ...last, size: last.size + next.size, denied: last.denied + next.denied };
    else rows.push(next);
    end = row.offset + row.size;
  }
  if (end < table.length) rows.push(describeGround(table, end, table.length - end, record));
  return rows;
}

const isContinued = (last: RegisterDescription, next: RegisterDescription): boolean =>
  last.name === next.name && last.writes === next.writes && last.offset + last.size === next.offset;

const untouched = ({ mode }: CompiledFilter): string => (mode.permissive ? 'forwarded as it is' : 'dropped');

function describeRegister(
  table: CompiledFilter,
  row: Register,
  record?: FunctionRecord,
): RegisterDescription {
  const mask = widthMask(row.size);
  const live = row.live & mask;
  return {
    name: row.name,
    offset: row.offset,
    size: row.size,
    reads: live === 0 ? 'filter' : live === mask ? 'hardware' : 'both',
    writes:
      (row.rule?.meaning ?? untouched(table)) +
      (row.resets !== 0 ? '; a function-level reset is run by the back-end' : ''),
    reaches: row.rule ? row.reaches : openBits(table, mask & ~row.drops),
    denied: record?.deniedAt(row.offset) ?? 0,
  };
}

function describeGround(
  table: CompiledFilter,
  offset: number,
  size: number,
  record?: FunctionRecord,
): RegisterDescription {
  let denied = 0;
  for (let at = offset & ~3; at < offset + size; at += 4) denied += record?.deniedAt(at) ?? 0;
  return {
    name: 'Other registers',
    offset,
    size,
    reads: 'hardware',
    writes: untouched(table),
    reaches: openBits(table, -1),
    denied,
  };
}

const openBits = ({ mode }: CompiledFilter, bits: number): number => (mode.permissive ? bits >>> 0 : 0);
