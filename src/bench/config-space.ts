/**
 * What one access costs in the filter, over hardware that costs nothing, as a multiple of the least that could be done
 * instead: a bounds check and a read or write of memory.
 */
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  compileFilter,
  ConfigFilter,
  defaultMode,
  type FilterMode,
  FunctionRecord,
  RamConfig,
  recordSize,
} from '../config-space/index.ts';
import { sampleFunction } from '../config-space/sample.ts';

export interface ConfigSpaceBenchRow {
  readonly name: string;
  /** Nanoseconds per access: the median of several rounds. */
  readonly nanoseconds: number;
  /** The same as a multiple of the baseline of that direction. */
  readonly ratio: number;
}

const accesses = 200_000;
const rounds = 15;

type Access = (turn: number) => number;

function sampleFilter(mode: FilterMode): ConfigFilter {
  const { hardware, seized } = sampleFunction();
  const table = compileFilter(seized, mode);
  const record = FunctionRecord.create(new ArrayBuffer(recordSize), table.initialCommand);
  const filter: ConfigFilter = new ConfigFilter(table, hardware, record, {
    resetRequested: () => undefined,
    contextLost: () => filter.contextRestored(),
  });
  return filter;
}

function median(access: Access): number {
  const times: number[] = [];
  let kept = 0;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let turn = 0; turn < accesses; turn++) kept ^= access(turn);
    times.push(((performance.now() - start) * 1e6) / accesses);
  }
  // The results are used, so that none of the work can be left out.
  if (Number.isNaN(kept)) throw new RangeError('unreachable');
  return times.sort((a, b) => a - b)[rounds >>> 1] ?? 0;
}

/**
 * Measures reads and writes of registers that the filter answers by itself, and of those that take the hardware. Rejects with
 * the reason of `signal` when that is aborted.
 */
export async function benchConfigSpace(
  signal: AbortSignal = new AbortController().signal,
): Promise<readonly ConfigSpaceBenchRow[]> {
  const plain = new RamConfig(new Uint8Array(4096));
  const filter = sampleFilter(defaultMode);
  const permissive = sampleFilter({ ...defaultMode, permissive: true });
  const read = (offset: number, size: number): Access => {
    return () => {
      filter.read(offset, size);
      return filter.value | 0;
    };
  };

  const plainRead: Access = (turn) => plain.read((turn << 2) & 0xfc, 4) | 0;
  const plainWrite: Access = (turn) => {
    plain.write(0x40, 4, turn);
    return turn;
  };
  const reads: readonly (readonly [string, Access])[] = [
    ['read, memory only', plainRead],
    ['read, fixed: vendor and device ID', read(0x00, 4)],
    ['read, shadowed: BAR', read(0x10, 4)],
    ['read, live: status', read(0x06, 2)],
    ['read, mixed: command', read(0x04, 2)],
    ['read, out of range', read(0x1000, 4)],
  ];
  const writes: readonly (readonly [string, Access])[] = [
    ['write, memory only', plainWrite],
    ['write, forwarded: cache line size', (turn) => filter.write(0x0c, 1, turn)],
    ['write, command', (turn) => filter.write(0x04, 2, (turn & 1) === 0 ? 0x0406 : 0x0402)],
    ['write, sizing a BAR', (turn) => filter.write(0x10, 4, (turn & 1) === 0 ? 0xffff_ffff : 0xfeb8_0000)],
    ['write, dropped: device control', (turn) => filter.write(0x68, 2, turn & 0x7fff)],
    ['write, refused: MSI control', () => filter.write(0x52, 2, 0x0081)],
    ['write, permissive: device control', (turn) => permissive.write(0x68, 2, turn & 0x7fff)],
  ];
  return [...(await measure(reads, signal)), ...(await measure(writes, signal))];
}

/** The first row is what the others are compared with. */
async function measure(
  rows: readonly (readonly [string, Access])[],
  signal: AbortSignal,
): Promise<readonly ConfigSpaceBenchRow[]> {
  const measured: { readonly name: string; readonly nanoseconds: number }[] = [];
  for (const [name, access] of rows) {
    // Between two measurements the event loop gets to hear of an interruption.
    await nextTurn();
    signal.throwIfAborted();
    measured.push({ name, nanoseconds: median(access) });
  }
  const baseline = measured[0]?.nanoseconds ?? 1;
  return measured.map((row) => ({ ...row, ratio: row.nanoseconds / baseline }));
}
