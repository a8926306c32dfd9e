import type { Capture } from './capture.ts';

/**
 * A physical function with one of its eight virtual functions enabled: 82576 as QEMU models it, with igb running.
 *
 *     40 PM -> 50 MSI -> 70 MSI-X (25 entries in BAR 3) -> a0 PCI Express with FLR      100 AER -> 150 ARI -> 160 SR-IOV
 */
const physical: Capture = {
  address: '0000:46:00.0',
  space: 4096,
  config: {
    '000': '86 80 c9 10 07 05 10 00  01 00 00 02 10 00 00 00',
    '010': '00 00 80 fd 00 00 82 fd  01 f0 00 00 00 00 84 fd',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 86 80 00 00',
    '030': '00 00 00 00 40 00 00 00  00 00 00 00 0a 01 00 00',
    '040': '01 50 22 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '050': '05 70 80 01 00 00 00 00  00 00 00 00 00 00 00 00',
    '070': '11 a0 18 80 03 00 00 00  03 20 00 00 00 00 00 00',
    '0a0': '10 00 02 00 00 80 00 10  00 00 00 00 11 04 00 00',
    '0b0': '00 00 11 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '0c0': '00 00 00 00 00 00 30 00  00 00 00 00 00 00 00 00',
    '100': '01 00 01 15 00 00 00 00  00 00 00 00 30 20 46 00',
    '110': '00 00 00 00 00 e0 00 00  a0 00 00 00 00 00 00 00',
    '150': '0e 00 01 16 00 00 00 00  00 00 00 00 00 00 00 00',
    '160': '10 00 01 00 00 00 00 00  19 00 00 00 08 00 08 00',
    '170': '01 00 00 00 80 00 02 00  00 00 ca 10 53 05 00 00',
    '180': '01 00 00 00 0c 00 00 20  60 00 00 00 00 00 00 00',
    '190': '0c 00 02 20 60 00 00 00  00 00 00 00 00 00 00 00',
  },
  resources: [
    { index: 0, kind: 'memory32', prefetchable: false, start: 0xfd80_0000n, size: 0x2_0000n },
    { index: 1, kind: 'memory32', prefetchable: false, start: 0xfd82_0000n, size: 0x2_0000n },
    { index: 2, kind: 'io', prefetchable: false, start: 0xf000n, size: 0x20n },
    { index: 3, kind: 'memory32', prefetchable: false, start: 0xfd84_0000n, size: 0x4000n },
  ],
  irq: 18,
  driver: 'igb',
  resetMethods: ['flr', 'pm'],
};

/**
 * The virtual function, 0x80 routing IDs further. Its IDs read as all ones, its BARs, memory decode and interrupt pin as zero:
 * what they would say is in the physical function's SR-IOV capability (SR-IOV 1.1, 3.4.1).
 *
 *     70 MSI-X (3 entries in BAR 3) -> a0 PCI Express with FLR      100 AER -> 150 ARI
 */
const virtual: Capture = {
  address: '0000:46:10.0',
  space: 4096,
  config: {
    '000': 'ff ff ff ff 04 00 10 00  01 00 00 02 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 86 80 00 00',
    '030': '00 00 00 00 70 00 00 00  00 00 00 00 00 00 00 00',
    '070': '11 a0 02 80 03 00 00 00  03 20 00 00 00 00 00 00',
    '0a0': '10 00 02 00 00 80 00 10  00 00 00 00 11 04 00 00',
    '0b0': '00 00 11 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '0c0': '00 00 00 00 00 00 30 00  00 00 00 00 00 00 00 00',
    '100': '01 00 01 15 00 00 00 00  00 00 00 00 30 20 46 00',
    '110': '00 00 00 00 00 e0 00 00  a0 00 00 00 00 00 00 00',
    '150': '0e 00 01 00 00 00 00 00  00 00 00 00 00 00 00 00',
  },
  resources: [
    { index: 0, kind: 'memory64', prefetchable: true, start: 0x60_2000_0000n, size: 0x4000n },
    { index: 3, kind: 'memory64', prefetchable: true, start: 0x60_2002_0000n, size: 0x4000n },
  ],
  irq: 0,
  driver: 'igbvf',
  resetMethods: ['flr'],
  virtual: { vendor: 0x8086, device: 0x10ca, physicalFunction: '0000:46:00.0' },
};

/** A physical function, and a virtual function of it. */
export const sriov: readonly Capture[] = [physical, virtual];
