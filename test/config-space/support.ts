/** Functions to try the filter on, and what happened to their hardware. */
import {
  compileFilter,
  ConfigFilter,
  defaultMode,
  type FilterEffects,
  type FilterMode,
  FunctionRecord,
  RamConfig,
  recordSize,
  type Resource,
  seize,
} from '../../src/config-space/index.ts';
import { type Content, WriteLog } from '../../src/config-space/ram.ts';

/** Rows of a configuration space, by offset: bytes in hexadecimal, spaces allowed. */
export type Rows = Readonly<Record<number, string>>;

export function image(rows: Rows, length = 4096): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [offset, text] of Object.entries(rows)) {
    const digits = text.replaceAll(' ', '');
    for (let byte = 0; byte < digits.length / 2; byte++) {
      bytes[Number(offset) + byte] = Number.parseInt(digits.slice(2 * byte, 2 * byte + 2), 16);
    }
  }
  return bytes;
}

/** An e1000e network adapter: MSI-X at A0, VPD at B0, PM at C8, MSI at D0, PCIe at E0, AER at 100, serial number at 140. */
export const nic: Rows = {
  0x00: '8680d310 06001000 00000002 10000000',
  0x10: '0000b8fe 0c0000c0 01000000 01e00000',
  0x20: '00000000 00000000 00000000 86801fa0',
  0x30: '0000b4fe c8000000 00000000 0b010000',
  0xa0: '11b00400 03000000 03200000 00000000',
  0xb0: '03000000 00000000 00000000 00000000',
  0xc0: '00000000 00000000 01d022c8 08210000',
  0xd0: '05e08000 00000000 00000000 00000000',
  0xe0: '10a00100 00000000 10280000 00000000',
  0x100: '01000114',
  0x140: '03000100',
};

export const nicResources: readonly Resource[] = [
  { index: 0, kind: 'memory32', prefetchable: false, start: 0xfeb8_0000n, size: 0x2_0000n },
  { index: 1, kind: 'memory64', prefetchable: true, start: 0x1_c000_0000n, size: 0x4000n },
  { index: 3, kind: 'io', prefetchable: false, start: 0xe000n, size: 0x20n },
  { index: 6, kind: 'rom', prefetchable: false, start: 0xfeb4_0000n, size: 0x4_0000n },
];

/** A PCI-to-PCI bridge with PM at 40 and PCIe at 50, its bus numbers and windows set. */
export const bridge: Rows = {
  0x00: '8680c4a1 07001000 00000406 10008100',
  0x10: '00000000 00000000 00010100 f1010000',
  0x20: '00fe10fe f1fff101 00000000 00000000',
  0x30: '00000000 40000000 00000000 0a010200',
  0x40: '015003c8 08000000 00000000 00000000',
  0x50: '10004201 00800000 00000000 00000000',
};

export interface Setup {
  readonly rows?: Rows;
  readonly length?: 256 | 4096;
  readonly resources?: readonly Resource[];
  readonly irq?: number;
  readonly ids?: { readonly vendor: number; readonly device: number };
  readonly physicalFunction?: number | null;
  readonly mode?: Partial<FilterMode>;
}

export interface Bench {
  readonly filter: ConfigFilter;
  /** The hardware behind the filter: writing to it is the device's own doing. */
  readonly hardware: RamConfig;
  /** What was written to the hardware since this was last called, as `offset/size=value`. */
  readonly written: () => readonly string[];
  readonly read: (offset: number, size: number) => number;
  readonly events: string[];
}

const hex = (value: number, digits: number): string => (value >>> 0).toString(16).padStart(digits, '0');
const spell = ({ offset, size, value }: Content): string =>
  `${hex(offset, 3)}/${size}=${hex(value, 2 * size)}`;

/** Seizes a function (the network adapter unless told otherwise) and puts a filter before it. */
export function setUp(setup: Setup = {}): Bench {
  const config = image(setup.rows ?? nic, setup.length ?? 4096);
  const hardware = new RamConfig(config);
  const log = new WriteLog(hardware);
  const seized = seize(log, {
    vendor: setup.ids?.vendor ?? hardware.read(0, 2),
    device: setup.ids?.device ?? hardware.read(2, 2),
    resources: setup.resources ?? (setup.rows ? [] : nicResources),
    irq: setup.irq ?? 17,
    physicalFunction: setup.physicalFunction ?? null,
  });
  const events: string[] = [];
  const effects: FilterEffects = {
    resetRequested: () => events.push('reset'),
    contextLost: () => events.push('context lost'),
  };
  const table = compileFilter(seized, { ...defaultMode, ...setup.mode });
  const record = FunctionRecord.create(new ArrayBuffer(recordSize), table.initialCommand);
  const filter = new ConfigFilter(table, log, record, effects);
  log.take();
  return {
    filter,
    hardware,
    events,
    written: () => log.take().map(spell),
    read: (offset, size) => {
      const err = filter.read(offset, size);
      if (err !== 0) throw new RangeError(`read of 0x${hex(offset, 3)}/${size} gives ${err}`);
      return filter.value;
    },
  };
}

/**
 * Bytes that one turn of `run` allocates once it has been compiled: the median of several rounds, since a round in which the
 * collector ran or the compiler finished says nothing. A boxed number has 12 bytes or more.
 */
export function bytesPerTurn(run: (turns: number) => void): number {
  const turns = 20_000;
  run(20 * turns);
  const rounds = Array.from({ length: 31 }, () => {
    const before = process.memoryUsage().heapUsed;
    run(turns);
    return (process.memoryUsage().heapUsed - before) / turns;
  });
  return rounds.sort((a, b) => a - b)[15] ?? Infinity;
}
