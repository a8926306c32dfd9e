import type { Capture } from './capture.ts';

/**
 * What one port differs in from the next: where it is, its own register block, what lies behind it.
 *
 *     018   primary | secondary | subordinate bus | latency | I/O base | I/O limit | secondary status
 *     020   memory base | limit | prefetchable base | limit | upper halves of the two      (PCI-to-PCI Bridge 1.2, 3.2.5)
 */
interface Port {
  readonly slot: number;
  readonly registers: bigint;
  readonly '010': string;
  readonly '020': string;
  /** The slot's number stands in bits 31:19 of its capabilities (PCI Express 4.0, 7.5.3.9). */
  readonly '060': string;
  readonly irq: number;
}

const ports: readonly Port[] = [
  {
    slot: 1,
    registers: 0xfe40_1000n,
    '010': '00 10 40 fe 00 00 00 00  40 41 41 00 d0 d0 00 00',
    '020': '20 fe 30 fe a1 fe b1 fe  00 00 00 00 00 00 00 00',
    '060': '04 06 30 00 00 00 11 20  7b 00 0a 00 f1 01 40 00',
    irq: 16,
  },
  {
    slot: 2,
    registers: 0xfe40_2000n,
    '010': '00 20 40 fe 00 00 00 00  40 42 42 00 f0 00 00 00',
    '020': '00 fe 10 fe 81 fe 91 fe  00 00 00 00 00 00 00 00',
    '060': '04 06 30 00 00 00 11 20  7b 00 12 00 f1 01 40 00',
    irq: 17,
  },
  {
    slot: 3,
    registers: 0xfe40_3000n,
    '010': '00 30 40 fe 00 00 00 00  40 43 43 00 f0 00 00 00',
    '020': 'e0 fd f0 fd 61 fe 71 fe  00 00 00 00 00 00 00 00',
    '060': '04 06 30 00 00 00 11 20  7b 00 1a 00 f1 01 40 00',
    irq: 18,
  },
  {
    slot: 4,
    registers: 0xfe40_4000n,
    '010': '00 40 40 fe 00 00 00 00  40 45 45 00 e0 e0 00 00',
    '020': '00 f6 00 f7 01 00 f1 11  60 00 00 00 60 00 00 00',
    '060': '04 06 30 00 00 00 11 20  7b 00 22 00 f1 01 40 00',
    irq: 16,
  },
  {
    slot: 5,
    registers: 0xfe40_5000n,
    '010': '00 50 40 fe 00 00 00 00  40 46 46 00 f0 f0 00 00',
    '020': '80 fd 80 fd 01 20 01 20  60 00 00 00 60 00 00 00',
    '060': '04 06 30 00 00 00 11 20  7b 00 2a 00 f1 01 40 00',
    irq: 18,
  },
];

/**
 * The root ports above the PCI Express functions, as QEMU models them.
 *
 *     54 PCI Express -> 48 MSI-X (1 entry in BAR 0) -> 40 subsystem ID      100 AER -> 148 ACS
 */
export const rootPorts: readonly Capture[] = ports.map((port) => ({
  address: `0000:40:0${port.slot}.0`,
  space: 4096,
  config: {
    '000': '36 1b 0c 00 07 05 10 00  00 00 04 06 00 00 01 00',
    '010': port['010'],
    '020': port['020'],
    '030': '00 00 00 00 54 00 00 00  00 00 00 00 0a 01 02 00',
    '040': '0d 00 00 00 36 1b 00 00  11 40 00 80 00 00 00 00',
    '050': '00 08 00 00 10 48 42 01  00 80 00 00 0f 00 00 00',
    '060': port['060'],
    '070': '00 00 00 00 00 00 00 00  20 00 30 00 00 00 00 00',
    '080': '1e 00 00 00 04 00 00 00  00 00 00 00 00 00 00 00',
    '100': '01 00 82 14 00 00 00 00  00 00 00 00 30 20 46 00',
    '110': '00 00 00 00 00 e0 00 00  a0 02 00 00 00 00 00 00',
    '120': '00 00 00 00 00 00 00 00  00 00 00 00 07 00 00 00',
    '140': '00 00 00 00 00 00 00 00  0d 00 01 00 5f 00 00 00',
  },
  resources: [{ index: 0, kind: 'memory32', prefetchable: false, start: port.registers, size: 0x1000n }],
  irq: port.irq,
  driver: 'pcieport',
  resetMethods: [],
}));
