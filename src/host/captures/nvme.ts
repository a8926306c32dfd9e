import type { Capture } from './capture.ts';

/**
 * A controller of non-volatile memory with one 64-bit BAR: NVM Express as QEMU models it, with nvme running.
 *
 *     40 MSI-X (7 entries in BAR 0) -> 80 PCI Express with FLR -> 60 PM
 */
export const nvme: Capture = {
  address: '0000:42:00.0',
  space: 4096,
  config: {
    '000': '36 1b 10 00 07 05 10 00  02 02 08 01 00 00 00 00',
    '010': '04 00 00 fe 00 00 00 00  00 00 00 00 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 f4 1a 00 11',
    '030': '00 00 00 00 40 00 00 00  00 00 00 00 0b 01 00 00',
    '040': '11 80 06 80 00 20 00 00  00 30 00 00 00 00 00 00',
    '060': '01 00 03 00 08 00 00 00  00 00 00 00 00 00 00 00',
    '080': '10 60 02 00 00 80 00 10  00 00 00 00 11 04 00 00',
    '090': '00 00 11 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '0a0': '00 00 00 00 00 00 30 00  00 00 00 00 00 00 00 00',
  },
  resources: [{ index: 0, kind: 'memory64', prefetchable: false, start: 0xfe00_0000n, size: 0x4000n }],
  irq: 17,
  driver: 'nvme',
  resetMethods: ['flr', 'bus'],
};
