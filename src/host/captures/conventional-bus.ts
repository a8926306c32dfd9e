import type { Capture } from './capture.ts';

/** A PCI-to-PCI bridge (type 1 header): the conventional bus 44 lies behind it. Its only capability is a subsystem ID. */
const bridge: Capture = {
  address: '0000:40:1e.0',
  space: 256,
  config: {
    '000': '86 80 4e 24 07 01 b0 00  92 01 04 06 00 00 01 00',
    '010': '00 00 00 00 00 00 00 00  40 44 44 00 c0 c0 a0 00',
    '020': 'c0 fd d0 fd f1 ff 01 00  00 00 00 00 00 00 00 00',
    '030': '00 00 00 00 50 00 00 00  00 00 00 00 00 00 02 00',
    '050': '0d 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00',
  },
  resources: [],
  irq: 0,
  driver: null,
  resetMethods: [],
};

/** RTL8139C+. It has a capability pointer, but bit 4 of the status register says that there is no list to follow. */
const rtl8139: Capture = {
  address: '0000:44:01.0',
  space: 256,
  config: {
    '000': 'ec 10 39 81 07 01 00 00  20 00 00 02 10 00 00 00',
    '010': '01 c4 00 00 00 00 c4 fd  00 00 00 00 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 f4 1a 00 11',
    '030': '00 00 c0 fd dc 00 00 00  00 00 00 00 0a 01 00 00',
  },
  resources: [
    { index: 0, kind: 'io', prefetchable: false, start: 0xc400n, size: 0x100n },
    { index: 1, kind: 'memory32', prefetchable: false, start: 0xfdc4_0000n, size: 0x100n },
    { index: 6, kind: 'rom', prefetchable: false, start: 0xfdc0_0000n, size: 0x4_0000n },
  ],
  irq: 19,
  driver: '8139cp',
  resetMethods: ['bus'],
};

/** An AC'97 sound controller: I/O ports only, no capabilities, nothing that could reset it alone. */
const ac97: Capture = {
  address: '0000:44:02.0',
  space: 256,
  config: {
    '000': '86 80 15 24 07 01 80 02  01 00 01 04 00 00 00 00',
    '010': '01 c0 00 00 01 c5 00 00  00 00 00 00 00 00 00 00',
    '020': '00 00 00 00 00 00 00 00  00 00 00 00 f4 1a 00 11',
    '030': '00 00 00 00 00 00 00 00  00 00 00 00 0b 01 00 00',
  },
  resources: [
    { index: 0, kind: 'io', prefetchable: false, start: 0xc000n, size: 0x400n },
    { index: 1, kind: 'io', prefetchable: false, start: 0xc500n, size: 0x100n },
  ],
  irq: 19,
  driver: 'snd_intel8x0',
  resetMethods: [],
};

/** A bridge and two conventional functions behind it, as QEMU models them, with their drivers running. */
export const conventionalBus: readonly Capture[] = [bridge, rtl8139, ac97];
