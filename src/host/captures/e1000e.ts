import type { Capture } from './capture.ts';

/**
 * A network controller with MSI-X: 82574L as QEMU models it, with e1000e running.
 *
 *     c8 PM -> d0 MSI -> e0 PCI Express -> a0 MSI-X (5 entries in BAR 3)      100 AER -> 140 serial number
 */
export const e1000e: Capture = {
  address: '0000:41:00.0',
  space: 4096,
  config: {
    '000': '86 80 d3 10 07 05 10 00  00 00 00 02 00 00 00 00',
    '010': '00 00 24 fe 00 00 26 fe  01 d0 00 00 00 00 28 fe',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 86 80 00 00',
    '030': '00 00 20 fe c8 00 00 00  00 00 00 00 0a 01 00 00',
    '0a0': '11 00 04 80 03 00 00 00  03 20 00 00 00 00 00 00',
    '0c0': '00 00 00 00 00 00 00 00  01 d0 22 00 00 00 00 00',
    '0d0': '05 e0 80 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '0e0': '10 a0 01 00 00 80 00 00  00 00 00 00 11 04 00 00',
    '0f0': '00 00 11 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '100': '01 00 02 14 00 00 00 00  00 00 00 00 30 20 46 00',
    '110': '00 00 00 00 00 e0 00 00  a0 00 00 00 00 00 00 00',
    '140': '03 00 01 00 56 34 12 ff  ff 00 54 52 00 00 00 00',
  },
  resources: [
    { index: 0, kind: 'memory32', prefetchable: false, start: 0xfe24_0000n, size: 0x2_0000n },
    { index: 1, kind: 'memory32', prefetchable: false, start: 0xfe26_0000n, size: 0x2_0000n },
    { index: 2, kind: 'io', prefetchable: false, start: 0xd000n, size: 0x20n },
    { index: 3, kind: 'memory32', prefetchable: false, start: 0xfe28_0000n, size: 0x4000n },
    { index: 6, kind: 'rom', prefetchable: false, start: 0xfe20_0000n, size: 0x4_0000n },
  ],
  irq: 16,
  driver: 'e1000e',
  resetMethods: ['pm', 'bus'],
};
