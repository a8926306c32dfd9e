import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  extendedCapabilities,
  findCapability,
  standardCapabilities,
} from '../../src/config-space/capabilities.ts';
import { image, nic, type Rows } from './support.ts';

const list = (rows: Rows): readonly string[] =>
  standardCapabilities(image({ 0x06: '1000', ...rows }, 256)).map(
    ({ id, offset }) => `${id}@${offset.toString(16)}`,
  );

describe('the capability list', () => {
  it('is walked in its own order', () => {
    expect(standardCapabilities(image(nic)).map(({ offset }) => offset)).toEqual([
      0xc8, 0xd0, 0xe0, 0xa0, 0xb0,
    ]);
  });

  it('is empty when the status register says so', () => {
    expect(list({ 0x06: '0000', 0x34: '40', 0x40: '0100' })).toEqual([]);
  });

  it('ends at a pointer into the header, at a place already visited, and at a register that is not there', () => {
    expect(list({ 0x34: '3c' })).toEqual([]);
    expect(list({ 0x34: '40', 0x40: '0120' })).toEqual(['1@40']);
    expect(list({ 0x34: '40', 0x40: '0140' })).toEqual(['1@40']);
    expect(list({ 0x34: '40', 0x40: '0150', 0x50: '0540' })).toEqual(['1@40', '5@50']);
    expect(list({ 0x34: '40', 0x40: '0150', 0x50: 'ff60', 0x60: '0100' })).toEqual(['1@40']);
  });

  it('has pointers whose low bits are reserved', () => {
    expect(list({ 0x34: '43', 0x40: '0151', 0x50: '0500' })).toEqual(['1@40', '5@50']);
  });

  it('goes on after a null capability', () => {
    expect(list({ 0x34: '40', 0x40: '0050', 0x50: '0500' })).toEqual(['0@40', '5@50']);
  });

  it('may have several of a kind, of which the first is found', () => {
    expect(findCapability(image({ 0x06: '1000', 0x34: '40', 0x40: '0950', 0x50: '0900' }), 0x09)).toBe(0x40);
    expect(findCapability(image(nic), 0x09)).toBeUndefined();
  });
});

describe('the extended capability list', () => {
  const extended = (rows: Rows): readonly number[] =>
    extendedCapabilities(image(rows)).map(({ offset }) => offset);

  it('is walked from 0x100', () => {
    expect(extendedCapabilities(image(nic))).toEqual([
      { id: 1, offset: 0x100 },
      { id: 3, offset: 0x140 },
    ]);
  });

  it('ends at nothing, at all ones, in a loop, and outside of the extended space', () => {
    expect(extended({})).toEqual([]);
    expect(extended({ 0x100: 'ffffffff' })).toEqual([]);
    expect(extended({ 0x100: '01000110' })).toEqual([0x100]);
    expect(extended({ 0x100: '01000120', 0x200: '02000110' })).toEqual([0x100, 0x200]);
    expect(extended({ 0x100: '0100010f' })).toEqual([0x100]);
    expect(extendedCapabilities(image(nic, 256))).toEqual([]);
  });
});

it('no space has more capabilities than room for them, whatever it holds', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (config) => {
      config[0x06] = 0x10;
      expect(standardCapabilities(config).length).toBeLessThanOrEqual(48);
      expect(extendedCapabilities(config).length).toBeLessThanOrEqual(960);
    }),
    { numRuns: 200 },
  );
});
