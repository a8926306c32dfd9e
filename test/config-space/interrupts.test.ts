import { describe, expect, it } from 'vitest';
import { interruptMode, setMsi, setMsix } from '../../src/config-space/interrupts.ts';
import { InterruptKind } from '../../src/config-space/record.ts';
import { nic, setUp } from './support.ts';

const msi = 0xd2;
const msix = 0xa2;
const interruptControl = { mode: { interruptControl: true } };

describe('control words in default mode', () => {
  it('are refused, and take what is there already', () => {
    const { filter, written } = setUp();
    expect(filter.write(msi, 2, 0x0081)).toBe(-3);
    expect(filter.write(msi, 2, 0x0080)).toBe(0);
    expect(filter.write(msix, 2, 0x8004)).toBe(-3);
    expect(filter.write(msix, 2, 0x0004)).toBe(0);
    expect(filter.write(msi, 1, 0x81)).toBe(-3);
    expect(filter.write(msix + 1, 1, 0x80)).toBe(-3);
    expect(written()).toEqual([]);
  });

  it('are no way to address and data, at any alignment (XSA-128)', () => {
    const { filter, written } = setUp();
    for (let offset = 0xd0; offset < 0xe0; offset++) {
      for (const size of [1, 2, 4]) filter.write(offset, size, 0xfee0_0041);
    }
    for (let offset = 0xa4; offset < 0xac; offset++) {
      for (const size of [1, 2, 4]) filter.write(offset, size, 0xffff_ffff);
    }
    expect(written()).toEqual([]);
  });
});

describe('control words with interrupt control', () => {
  it('switch what they are for, one kind at a time', () => {
    const { filter, written } = setUp(interruptControl);
    expect(filter.write(msi, 2, 0x0081)).toBe(0);
    expect(filter.write(msix, 2, 0x8004)).toBe(-3);
    expect(filter.write(msix, 2, 0x4004)).toBe(0);
    expect(filter.write(msi, 2, 0x0080)).toBe(0);
    expect(filter.write(msix, 2, 0xc004)).toBe(0);
    expect(filter.write(msi, 2, 0x0081)).toBe(-3);
    expect(filter.write(msix, 2, 0x8004)).toBe(0);
    expect(written()).toEqual(['0d2/2=0080', '0a2/2=8004']);
  });

  it('take no other bits', () => {
    const { filter, written } = setUp(interruptControl);
    expect(filter.write(msi, 2, 0x0091)).toBe(-3);
    expect(filter.write(msix, 2, 0x8005)).toBe(-3);
    expect(written()).toEqual([]);
  });

  it('need INTx neither on nor off', () => {
    const { filter } = setUp(interruptControl);
    filter.write(0x04, 2, 0x0402);
    expect(filter.write(msi, 2, 0x0081)).toBe(0);
  });
});

it('control words are forwarded when permissive, their capability headers are not', () => {
  const { filter, written } = setUp({ mode: { permissive: true } });
  expect(filter.write(0xd0, 4, 0x0091_ffff)).toBe(0);
  expect(filter.write(0xa0, 4, 0xffff_ffff)).toBe(0);
  expect(written()).toEqual(['0d2/2=0091', '0a2/2=ffff']);
  filter.write(0xd4, 4, 0xfee0_0000);
  expect(written()).toEqual(['0d4/4=fee00000']);
});

describe('the interrupt mode', () => {
  it('is what the registers say', () => {
    const { filter, hardware } = setUp();
    const mode = (): string => interruptMode(hardware, filter.table);
    expect(mode()).toBe('intx');
    hardware.write(0x04, 2, 0x0402);
    expect(mode()).toBe('none');
    hardware.write(msi, 2, 0x0081);
    expect(mode()).toBe('msi');
    hardware.write(msix, 2, 0x8004);
    expect(mode()).toBe('conflict');
    hardware.write(msi, 2, 0x0080);
    expect(mode()).toBe('msix');
  });

  it('can only be INTx or none without the capabilities', () => {
    const { filter, hardware } = setUp({ rows: { 0x00: '86801234 02000000' } });
    expect(interruptMode(hardware, filter.table)).toBe('intx');
  });
});

describe('switching for the guest', () => {
  it('turns MSI on with one vector and INTx off, and back', () => {
    const { filter, hardware, written } = setUp({ rows: { ...nic, 0xd2: 'b000' } });
    setMsi(filter, true);
    expect(written()).toEqual(['004/2=0402', '0d2/2=0081']);
    setMsi(filter, false);
    expect(written()).toEqual(['0d2/2=0080', '004/2=0002']);
    expect(interruptMode(hardware, filter.table)).toBe('intx');
  });

  it('turns MSI-X on unmasked in 16-bit accesses, and back', () => {
    const { filter, hardware, written } = setUp();
    hardware.write(msix, 2, 0x4004);
    setMsix(filter, true);
    expect(written()).toEqual(['004/2=0402', '0a2/2=8004']);
    setMsix(filter, false);
    expect(written()).toEqual(['0a2/2=0004', '004/2=0002']);
  });

  it('leaves INTx off when the guest itself had switched it off', () => {
    const { filter, hardware } = setUp(interruptControl);
    filter.write(0x04, 2, 0x0402);
    setMsi(filter, true);
    setMsi(filter, false);
    expect(hardware.read(0x04, 2)).toBe(0x0403);
    filter.write(0x04, 2, 0x0002);
    expect(hardware.read(0x04, 2)).toBe(0x0003);
  });

  it('does not show in the command register', () => {
    const { filter, read } = setUp();
    setMsi(filter, true);
    expect(read(0x04, 2)).toBe(0x0002);
    filter.record.grant(InterruptKind.msi, 0);
    expect(read(0x04, 2)).toBe(0x0002);
  });
});
