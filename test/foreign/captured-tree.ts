/** A captured sysfs tree with two functions that are easy to reason about. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { words } from '../xpci/fake-host.ts';

interface CapturedFunction {
  readonly address: string;
  readonly registers: Readonly<Record<number, readonly number[]>>;
  /** Lines of the `resource` attribute: start, size and flags of BAR 0 to 5 and the ROM. */
  readonly resources: readonly (readonly [start: bigint, size: bigint, flags: bigint] | null)[];
  readonly irq: number;
}

const memory32 = 0x4_0200n;
const memory64 = 0x14_220cn;
const ports = 0x4_0101n;
const rom = 0x4_6200n;

/** With a 64-bit BAR above 4 GiB, ports, a ROM, and MSI-X in BAR 0. */
const adapter: CapturedFunction = {
  address: '0000:03:00.0',
  registers: {
    0x00: words(0x10d3_8086, 0x0010_0006, 0x0200_0000, 0x0000_0010),
    0x10: words(0xfeb8_0000, 0xc000_000c, 0x0000_0001, 0x0000_e001),
    0x2c: words(0xa01f_8086, 0xfeb4_0000, 0x0000_00c8),
    0x3c: words(0x0000_010b),
    0xa0: words(0x0004_b011, 0x0000_0000, 0x0000_2000),
    0xb0: words(0x0000_0003),
    0xc8: words(0xc822_d001, 0x0000_2108),
    0xd0: words(0x0080_e005),
    0xe0: words(0x0001_a010, 0x0000_0000, 0x0000_2810),
    0x100: words(0x1401_0001),
    0x140: words(0x0001_0003, 0x1234_5678, 0x9abc_def0),
  },
  resources: [
    [0xfeb8_0000n, 0x2_0000n, memory32],
    [0x1_c000_0000n, 0x4000n, memory64],
    null,
    [0xe000n, 0x20n, ports],
    null,
    null,
    [0xfeb4_0000n, 0x4_0000n, rom],
  ],
  irq: 17,
};

/** With one 64-bit BAR and more MSI-X entries than one request can enable. */
const storage: CapturedFunction = {
  address: '0000:04:00.0',
  registers: {
    0x00: words(0xa808_144d, 0x0010_0002, 0x0108_0201, 0x0000_0000),
    0x10: words(0xfe00_0004, 0x0000_0000),
    0x34: words(0x40),
    0x3c: words(0x0000_010a),
    0x40: words(0x0003_5001),
    0x50: words(0x0180_6005),
    0x60: words(0x00c8_7011, 0x0000_2000, 0x0000_3000),
    0x70: words(0x0002_0010, 0x0000_0000, 0x0000_2810),
    0x100: words(0x0001_0001),
  },
  resources: [[0xfe00_0000n, 0x4000n, 0x14_0204n]],
  irq: 18,
};

/** Writes the tree below `directory`. */
export function writeCapturedTree(directory: string): void {
  for (const { address, registers, resources, irq } of [adapter, storage]) {
    const path = join(directory, address);
    mkdirSync(path, { recursive: true });
    const config = Buffer.alloc(4096);
    for (const [offset, bytes] of Object.entries(registers)) config.set(bytes, Number(offset));
    writeFileSync(join(path, 'config'), config);
    const hex = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;
    const lines = Array.from({ length: 13 }, (_, i) => {
      const [start, size, flags] = resources[i] ?? [0n, 1n, 0n];
      return `${hex(start)} ${hex(start + size - 1n)} ${hex(flags)}`;
    });
    writeFileSync(join(path, 'resource'), `${lines.join('\n')}\n`);
    writeFileSync(join(path, 'irq'), `${irq}\n`);
  }
}
