import type { Capture } from './capture.ts';

/**
 * Function 0 of a graphics card (GP107): BARs above 4 GiB, an expansion ROM, a legacy endpoint. Neither FLR nor a reset by way of
 * D3hot (No_Soft_Reset is set), and function 1 stands in the way of a bus reset.
 *
 *     60 PM -> 68 MSI -> 78 PCI Express      100 VC -> 250 LTR -> 128 power budgeting -> 420 AER -> 600 VSEC -> 900 secondary
 */
const display: Capture = {
  address: '0000:45:00.0',
  space: 4096,
  config: {
    '000': 'de 10 82 1c 07 05 10 00  a1 00 00 03 10 00 80 00',
    '010': '00 00 00 f6 0c 00 00 00  60 00 00 00 0c 00 00 10',
    '020': '60 00 00 00 01 e0 00 00  00 00 00 00 58 14 29 37',
    '030': '00 00 00 f7 60 00 00 00  00 00 00 00 0b 01 00 00',
    '040': '58 14 29 37 00 00 00 00  00 00 00 00 00 00 00 00',
    '060': '01 68 03 00 08 00 00 00  05 78 81 00 00 00 e0 fe',
    '070': '00 00 00 00 23 40 00 00  10 00 12 00 e1 8d 2c 01',
    '080': '36 29 00 00 03 3d 45 00  40 01 03 11 00 00 00 00',
    '090': '00 00 00 00 00 00 00 00  00 00 00 00 13 08 04 00',
    '0a0': '00 04 00 00 0e 00 00 00  03 00 1e 00 00 00 00 00',
    '100': '02 00 01 25 00 00 00 00  00 00 00 00 00 00 00 00',
    '110': '00 00 00 00 ff 00 00 80  00 00 00 00 00 00 00 00',
    '120': '00 00 00 00 00 00 00 00  04 00 01 42 00 00 00 00',
    '250': '18 00 81 12 00 00 00 00  00 00 00 00 00 00 00 00',
    '420': '01 00 02 60 00 00 00 00  00 00 00 00 30 20 06 00',
    '430': '00 00 00 00 00 20 00 00  00 00 00 00 00 00 00 00',
    '600': '0b 00 01 90 01 00 41 02  00 00 00 00 00 00 00 00',
    '900': '19 00 01 00 00 00 00 00  00 00 00 00 00 00 00 00',
  },
  resources: [
    { index: 0, kind: 'memory32', prefetchable: false, start: 0xf600_0000n, size: 0x100_0000n },
    { index: 1, kind: 'memory64', prefetchable: true, start: 0x60_0000_0000n, size: 0x1000_0000n },
    { index: 3, kind: 'memory64', prefetchable: true, start: 0x60_1000_0000n, size: 0x200_0000n },
    { index: 5, kind: 'io', prefetchable: false, start: 0xe000n, size: 0x80n },
    { index: 6, kind: 'rom', prefetchable: false, start: 0xf700_0000n, size: 0x8_0000n },
  ],
  irq: 16,
  driver: 'nouveau',
  resetMethods: [],
};

/** Function 1, the sound of its HDMI output. Another header: one small BAR, interrupt pin B. */
const sound: Capture = {
  address: '0000:45:00.1',
  space: 4096,
  config: {
    '000': 'de 10 b9 0f 06 04 10 00  a1 00 03 04 10 00 80 00',
    '010': '00 00 08 f7 00 00 00 00  00 00 00 00 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 58 14 29 37',
    '030': '00 00 00 00 60 00 00 00  00 00 00 00 0a 02 00 00',
    '060': '01 68 03 00 08 00 00 00  05 78 81 00 00 00 e0 fe',
    '070': '00 00 00 00 43 40 00 00  10 00 02 00 e1 8d 2c 01',
    '080': '36 29 00 00 03 3d 45 00  40 01 03 11 00 00 00 00',
    '090': '00 00 00 00 00 00 00 00  00 00 00 00 13 08 04 00',
    '0a0': '00 00 00 00 0e 00 00 00  00 00 00 00 00 00 00 00',
    '100': '01 00 02 00 00 00 00 00  00 00 00 00 30 20 06 00',
    '110': '00 00 00 00 00 20 00 00  00 00 00 00 00 00 00 00',
  },
  resources: [{ index: 0, kind: 'memory32', prefetchable: false, start: 0xf708_0000n, size: 0x4000n }],
  irq: 17,
  driver: 'snd_hda_intel',
  resetMethods: [],
};

/** One card, two functions. */
export const graphics: readonly Capture[] = [display, sound];
