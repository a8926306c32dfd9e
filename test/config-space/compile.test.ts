import { describe, expect, it } from 'vitest';
import { compileFilter, defaultMode, type FilterMode, seizedFrom } from '../../src/config-space/index.ts';
import { ignored, register } from '../../src/config-space/register.ts';
import { RegisterMap } from '../../src/config-space/register-map.ts';
import { bridge, image, nic, nicResources, type Rows, setUp } from './support.ts';

const compile = (rows: Rows, mode: Partial<FilterMode> = {}): ReturnType<typeof compileFilter> =>
  compileFilter(
    seizedFrom(
      { vendor: 1, device: 2, resources: nicResources, irq: 3, physicalFunction: null },
      image(rows),
    ),
    { ...defaultMode, ...mode },
  );

describe('a compiled filter', () => {
  it.each([
    ['a device', nic],
    ['a bridge', bridge],
  ])('has one owner at most for each byte, and the owner says the same: %s', (_, rows) => {
    const { length, owner, rules } = compile(rows);
    for (let at = 0; at < length; at++) {
      const row = rules[owner[at] ?? 0];
      if (owner[at] === 0) expect(row?.rule).toBeNull();
      else expect(row && at >= row.offset && at < row.offset + row.size).toBe(true);
    }
    for (const row of rules.slice(1)) expect(row.offset % row.size).toBe(0);
  });

  it('knows where the control words are', () => {
    const { decode, msiControl, msixControl, powerControl } = compile(nic);
    expect({ decode, msiControl, msixControl, powerControl }).toEqual({
      decode: 3,
      msiControl: 0xd2,
      msixControl: 0xa2,
      powerControl: 0xcc,
    });
    expect(compile({ 0x00: '86801234' })).toMatchObject({ msiControl: 0, msixControl: 0, powerControl: 0 });
  });

  it('takes what it shows from when the function was seized', () => {
    const { initialCommand, shown } = compile(nic);
    expect(initialCommand).toBe(0x0002);
    expect([shown[0], shown[0x3c / 4]]).toEqual([0x0002_0001, 0x0000_0103]);
  });
});

/** All standard capabilities with rules, each at the given offset, in a list in this order. */
const listed = (offsets: Readonly<Record<string, number>>): Rows => {
  const entries = Object.entries(offsets);
  const byte = (value: number): string => value.toString(16).padStart(2, '0');
  const rows: Record<number, string> = { 0x00: '86801234 00001000', 0x34: byte(entries[0]?.[1] ?? 0) };
  entries.forEach(([id, offset], index) => {
    rows[offset] = byte(Number(id)) + byte(entries[index + 1]?.[1] ?? 0);
  });
  return rows;
};

describe('a broken or hostile capability list', () => {
  it('never has two rules for a byte: what comes second cannot be written at all', () => {
    // MSI inside the power management capability: its control word would be where PMCSR's neighbours are.
    const { filter, written } = setUp({ rows: listed({ 1: 0x40, 5: 0x44 }), mode: { permissive: true } });
    expect(filter.table).toMatchObject({ powerControl: 0x44, msiControl: 0 });
    filter.write(0x46, 2, 0x0001);
    filter.write(0x48, 4, 0xfee0_0000);
    expect(written()).toEqual(['048/4=fee00000']);
  });

  it('is harmless at the end of the space', () => {
    for (const id of [1, 3, 5, 0x10, 0x11, 0x13, 0x14]) {
      const { filter } = setUp({ rows: listed({ [id]: 0xfc }), length: 256, mode: { permissive: true } });
      for (let at = 0xf0; at < 0x100; at++) filter.write(at, 1, 0xff);
      for (let at = 0xf0; at < 0x100; at += 4) expect(filter.read(at, 4)).toBe(0);
    }
  });

  it('gives rules to the first capability of a kind', () => {
    const rows = listed({ 5: 0x50, 9: 0x60 });
    const { filter } = setUp({ rows: { ...rows, 0x60: '0500' } });
    expect(filter.table.msiControl).toBe(0x52);
    expect(filter.write(0x52, 2, 1)).toBe(-3);
    expect(filter.write(0x62, 2, 1)).toBe(0);
    expect(filter.record.deniedAt(0x60)).toBe(1);
  });
});

describe('a defect in a rule table', () => {
  const rule = { rule: ignored };
  it.each([
    ['an overlap', [register('one', 4, 4, rule), register('two', 6, 1, rule)]],
    ['a misaligned register', [register('one', 2, 4, rule)]],
    ['a register of no width', [register('one', 4, 3, rule)]],
    ['a register outside of the space', [register('one', 256, 4, rule)]],
  ])('is found when it is compiled: %s', (_, rows) => {
    expect(() => new RegisterMap(256).add(rows)).toThrow(expect.objectContaining({ reason: 'INTERNAL' }));
  });
});
