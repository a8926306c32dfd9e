/** A function that no host has, to measure with. */
import { RamConfig } from './ram.ts';
import { type Seized, seize } from './seize.ts';

export interface SampleFunction {
  /** Its registers, in memory. */
  readonly hardware: RamConfig;
  readonly seized: Seized;
}

/** A PCI Express function with 64 KiB of memory, power management, MSI and MSI-X, just seized. */
export function sampleFunction(): SampleFunction {
  const image = new Uint8Array(4096);
  image.set([0x86, 0x80, 0xd3, 0x10, 0x06, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x02, 0x10]);
  image.set([0x00, 0x00, 0xb8, 0xfe], 0x10);
  image.set([0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x01], 0x34);
  image.set([0x01, 0x50, 0x22, 0xc8, 0x08, 0x00], 0x40);
  image.set([0x05, 0x60, 0x80], 0x50);
  image.set([0x10, 0x00, 0x02, 0x00], 0x60);
  const hardware = new RamConfig(image);
  const seized = seize(hardware, {
    vendor: 0x8086,
    device: 0x10d3,
    resources: [{ index: 0, kind: 'memory32', prefetchable: false, start: 0xfeb8_0000n, size: 0x1_0000n }],
    irq: 17,
    physicalFunction: null,
  });
  return { hardware, seized };
}
