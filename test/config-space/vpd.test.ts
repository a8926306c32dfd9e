import { expect, it } from 'vitest';
import { nic, setUp } from './support.ts';

it('vital product data can be read', () => {
  const { filter, hardware, read, written } = setUp();
  expect(filter.write(0xb2, 2, 0x7ffc)).toBe(0);
  expect(written()).toEqual(['0b2/2=7ffc']);
  hardware.write(0xb2, 2, 0xfffc);
  hardware.write(0xb4, 4, 0xdead_beef);
  expect([read(0xb2, 2), read(0xb4, 4)]).toEqual([0xfffc, 0xdead_beef]);
});

it('vital product data cannot be written, at any width', () => {
  for (const mode of [{}, { permissive: true }]) {
    const { filter, written } = setUp({ mode });
    expect(filter.write(0xb4, 4, 0x1234_5678)).toBe(0);
    expect(filter.lastDenied).toBe(0xb4);
    expect(filter.write(0xb2, 2, 0x8004)).toBe(-3);
    expect(filter.write(0xb0, 4, 0x8004_0003)).toBe(-3);
    expect(filter.write(0xb3, 1, 0x80)).toBe(-3);
    expect(filter.lastDenied).toBe(0xb0);
    expect(written()).toEqual([]);
  }
});

it('a narrow write starts a transfer in no direction but the safe one', () => {
  const { filter, hardware, written } = setUp({ rows: nic });
  hardware.write(0xb2, 2, 0x8000);
  expect(filter.write(0xb2, 1, 0x08)).toBe(-3);
  expect(filter.write(0xb3, 1, 0x00)).toBe(0);
  expect(written()).toEqual(['0b2/2=0000']);
});
