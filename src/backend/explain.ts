/** What a guest may do with the registers of a function, and what it was denied: plain data for `pciback explain`. */
import { formatSbdf } from '../address.ts';
import {
  type CompiledFilter,
  FunctionRecord,
  type RegisterDescription,
  compileFilter,
  defaultMode,
  describe,
  formatQuirk,
  proposeQuirks,
  seizedFrom,
} from '../config-space/index.ts';
import { type FunctionFacts, leftByDriver } from '../host/index.ts';
import { type Entry, stateOf } from './registry.ts';

/** Writes that were denied in one dword register. */
export interface Denial {
  readonly offset: number;
  /** 65535 means that or more. */
  readonly times: number;
  /** Names of the registers that lie there. */
  readonly registers: readonly string[];
}

export interface Explanation {
  readonly sbdf: string;
  readonly vendor: number;
  readonly device: number;
  /** `host` while the host has it, else as in `pciback status`. */
  readonly state: string;
  readonly owner: number | null;
  readonly permissive: boolean;
  /** In the notation of `pciback quirk`. */
  readonly quirks: readonly string[];
  /** How many bytes of its configuration space the host lets us read, when it is not hidden. */
  readonly known: number | null;
  readonly registers: readonly RegisterDescription[];
  /** Denied to the guest that has it, or had it last. */
  readonly denials: readonly Denial[];
  /** Quirks that would let those of the denied writes through that can be let through. */
  readonly proposals: readonly string[];
}

/** Explains a hidden function. */
export function explainEntry(
  entry: Entry,
  owner: number | null,
  record: FunctionRecord | undefined,
): Explanation {
  const { facts, seized, mode } = entry;
  const table = compileFilter(seized, mode);
  const registers = describe(table, record);
  return {
    ...identify(facts),
    state: stateOf(entry),
    owner,
    permissive: mode.permissive,
    quirks: mode.quirks.map(formatQuirk),
    known: null,
    registers,
    denials: record ? denialsOf(table, registers, record) : [],
    proposals: record ? proposeQuirks(facts.sbdf, table, record).map(formatQuirk) : [],
  };
}

/** Explains what a guest could do with a function that is not hidden, if it were. Throws HEADER-TYPE. */
export function explainFacts(facts: FunctionFacts): Explanation {
  const table = compileFilter(seizedFrom(facts, leftByDriver(facts.config)), defaultMode);
  return {
    ...identify(facts),
    state: 'host',
    owner: null,
    permissive: false,
    quirks: [],
    known: facts.config.length,
    registers: describe(table),
    denials: [],
    proposals: [],
  };
}

const identify = ({ sbdf, vendor, device }: FunctionFacts) => ({ sbdf: formatSbdf(sbdf), vendor, device });

function denialsOf(
  { length }: CompiledFilter,
  registers: readonly RegisterDescription[],
  record: FunctionRecord,
): readonly Denial[] {
  const denials: Denial[] = [];
  for (let offset = 0; offset < length; offset += 4) {
    const times = record.deniedAt(offset);
    if (times === 0) continue;
    const there = registers.filter((row) => row.offset < offset + 4 && row.offset + row.size > offset);
    denials.push({ offset, times, registers: there.map(({ name }) => name) });
  }
  return denials;
}
