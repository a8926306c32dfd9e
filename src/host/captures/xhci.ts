import type { Capture } from './capture.ts';

/**
 * A USB controller whose registers lie among the device's own: xHCI as QEMU models it, with xhci_hcd running. It has neither
 * power management nor a function level reset; 0x60 is the release number of the USB specification (xHCI 1.2, 5.2.3).
 *
 *     90 MSI-X (16 entries in BAR 0) -> a0 PCI Express
 */
export const xhci: Capture = {
  address: '0000:43:00.0',
  space: 4096,
  config: {
    '000': '36 1b 0d 00 07 05 10 00  01 30 03 0c 10 00 00 00',
    '010': '04 00 e0 fd 00 00 00 00  00 00 00 00 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 f4 1a 00 11',
    '030': '00 00 00 00 90 00 00 00  00 00 00 00 0b 01 00 00',
    '060': '30 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '090': '11 a0 0f 80 00 30 00 00  00 38 00 00 00 00 00 00',
    '0a0': '10 00 02 00 00 80 00 00  00 00 00 00 11 04 00 00',
    '0b0': '00 00 11 00 00 00 00 00  00 00 00 00 00 00 00 00',
    '0c0': '00 00 00 00 00 00 30 00  00 00 00 00 00 00 00 00',
  },
  resources: [{ index: 0, kind: 'memory64', prefetchable: false, start: 0xfde0_0000n, size: 0x4000n }],
  irq: 18,
  driver: 'xhci_hcd',
  resetMethods: ['bus'],
};
