import { describe, expect, it } from 'vitest';
import { extendedCapabilities, findCapability } from '../../src/config-space/capabilities.ts';
import { dwordAt, type Image, wordAt } from '../../src/config-space/image.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { afterReset, leftByDriver, writeOneToClearBits } from '../../src/host/power-up.ts';
import { captured } from './support/functions.ts';

const nic = captured('8086:10d3').config;

function at(image: Image, id: number): number {
  const offset = findCapability(image, id);
  if (offset === undefined) throw new Error(`there is no capability ${id}`);
  return offset;
}

/** Offsets at which two images differ. */
const differences = (a: Image, b: Image): number[] =>
  [...a.keys()].filter((offset) => a[offset] !== b[offset]);

describe('what a driver leaves', () => {
  it('is a function that does nothing, and is as it was otherwise', () => {
    const left = leftByDriver(nic);
    expect(wordAt(nic, 0x04)).toBe(0x0507);
    expect(wordAt(left, 0x04)).toBe(0x0103);
    expect(wordAt(left, at(nic, 0x11) + 2)).toBe(0x0004);
    expect(differences(nic, left)).toEqual([0x04, 0x05, at(nic, 0x11) + 3]);
  });

  it('keeps INTx off where MSI was not what had switched it off', () => {
    const image = nic.slice();
    image[at(nic, 0x11) + 3] = 0x40;
    expect(wordAt(leftByDriver(image), 0x04)).toBe(0x0503);
    expect(wordAt(leftByDriver(image), at(nic, 0x11) + 2)).toBe(0x0004);
  });

  it('switches MSI off', () => {
    const display = captured('10de:1c82').config;
    expect(wordAt(leftByDriver(display), at(display, 0x05) + 2)).toBe(0x0080);
  });

  it('has 4096 bytes with PCI Express or anything past 256, else 256', () => {
    const ac97 = captured('8086:2415').config;
    expect(leftByDriver(ac97)).toHaveLength(256);
    expect(leftByDriver(nic)).toHaveLength(4096);
    expect(leftByDriver(nic.slice(0, 256))).toHaveLength(4096);
    const padded = new Uint8Array(4096);
    padded.set(ac97);
    expect(leftByDriver(padded)).toHaveLength(256);
    padded[0xfff] = 1;
    expect(leftByDriver(padded)).toHaveLength(4096);
  });

  it('announces no capabilities that cannot be read', () => {
    const left = leftByDriver(nic.slice(0, 64));
    expect(left).toHaveLength(256);
    expect(wordAt(left, 0x06) & 0x10).toBe(0);
    expect(left[0x34]).toBe(0);
    expect(dwordAt(left, 0)).toBe(0x10d3_8086);
  });
});

describe('a reset', () => {
  it.each(
    capturedFunctions().map(
      (facts) => [`${facts.vendor.toString(16)}:${facts.device.toString(16)}`, facts] as const,
    ),
  )('takes %s to its defaults, and a second one changes nothing', (_, { config, resources }) => {
    const reset = afterReset(config);
    const bridge = (dwordAt(config, 0x0c) >>> 16) % 0x80 === 1;
    expect(wordAt(reset, 0x04)).toBe(0);
    expect(reset[0x3c]).toBe(0);
    for (let bar = 0x10; bar < (bridge ? 0x18 : 0x28); bar += 4)
      expect(dwordAt(reset, bar)).toBeLessThan(0x10);
    expect(dwordAt(reset, bridge ? 0x38 : 0x30)).toBe(0);
    for (const { index, kind } of resources.filter((range) => range.kind !== 'rom')) {
      const value = dwordAt(reset, 0x10 + 4 * index);
      if (dwordAt(config, 0x10 + 4 * index) !== 0) expect((value & 7) === 4).toBe(kind === 'memory64');
    }
    expect(afterReset(reset)).toEqual(reset);
  });

  it('leaves what a function is: IDs, class, capability lists', () => {
    for (const { config } of capturedFunctions()) {
      const reset = afterReset(config);
      for (const offset of [0x00, 0x08, 0x2c, 0x34]) {
        if (offset !== 0x2c || (config[0x0e] ?? 0) % 0x80 === 0)
          expect(dwordAt(reset, offset)).toBe(dwordAt(config, offset));
      }
      expect(extendedCapabilities(reset)).toEqual(extendedCapabilities(config));
      for (const id of [0x01, 0x05, 0x10, 0x11])
        expect(findCapability(reset, id)).toBe(findCapability(config, id));
    }
  });

  it('switches message-signalled interrupts off and forgets the message', () => {
    const display = captured('10de:1c82').config;
    const msi = at(display, 0x05);
    const reset = afterReset(display);
    expect(wordAt(display, msi + 2)).toBe(0x0081);
    expect(wordAt(reset, msi + 2)).toBe(0x0080);
    expect(dwordAt(reset, msi + 4)).toBe(0);
    expect(wordAt(reset, msi + 12)).toBe(0);
    expect(wordAt(display, msi + 12)).not.toBe(0);
    expect(wordAt(reset, at(display, 0x10))).toBe(wordAt(display, at(display, 0x10)));
    expect(wordAt(afterReset(nic), at(nic, 0x11) + 2)).toBe(0x0004);
  });

  it('clears a mask that follows 32-bit and 64-bit messages', () => {
    for (const [control, mask] of [
      [0x0100, 0x10 - 4],
      [0x0180, 0x10],
    ] as const) {
      const image = nic.slice();
      const msi = at(nic, 0x05);
      image[msi + 2] = control & 0xff;
      image[msi + 3] = control >>> 8;
      image.fill(0xff, msi + 4, msi + 16);
      const reset = afterReset(image);
      if (mask === 0x0c) expect(dwordAt(reset, msi + mask)).toBe(0);
      expect(wordAt(reset, msi + mask - 4)).toBe(0);
      expect(wordAt(reset, msi + 2)).toBe(control);
    }
  });

  it('brings a function back to D0 with its kind of power management', () => {
    const image = nic.slice();
    const pm = at(nic, 0x01);
    image.set([0x03 | 0x08, 0x80 | 0x40 | 0x1e | 0x01], pm + 4);
    expect(wordAt(afterReset(image), pm + 4)).toBe(0x4008);
  });

  it('keeps the payload size of the path, and defaults the rest of device control', () => {
    const display = captured('10de:1c82').config;
    expect(wordAt(afterReset(display), at(display, 0x10) + 8)).toBe(0x2830);
    const virtual = captured('8086:10ca').config;
    expect(wordAt(afterReset(virtual), at(virtual, 0x10) + 8)).toBe(0);
  });

  it('takes the virtual functions away', () => {
    const physical = captured('8086:10c9').config;
    const sriov = extendedCapabilities(physical).find(({ id }) => id === 0x10)?.offset ?? 0;
    expect(wordAt(physical, sriov + 8)).toBe(0x19);
    expect(wordAt(afterReset(physical), sriov + 8)).toBe(0);
    expect(wordAt(afterReset(physical), sriov + 0x10)).toBe(0);
  });
});

describe('bits that a one clears', () => {
  it('are those of status, PMCSR and device status', () => {
    const bits = writeOneToClearBits(nic);
    expect(wordAt(bits, 0x06)).toBe(0xf900);
    expect(wordAt(bits, at(nic, 0x01) + 4)).toBe(0x8000);
    expect(wordAt(bits, at(nic, 0x10) + 10)).toBe(0x000f);
    expect(bits.filter((byte) => byte !== 0)).toHaveLength(3);
  });
});
