import { describe, expect, it } from 'vitest';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { possibleResetMethods, resetMethods } from '../../src/host/reset.ts';
import { captured, sbdf } from './support/functions.ts';

const host = capturedFunctions();
const nic = captured('8086:10d3');
const nvme = captured('1b36:0010');
const physical = captured('8086:10c9');
const display = captured('10de:1c82');
const rtl8139 = captured('10ec:8139');
const ac97 = captured('8086:2415');

/** Whether a method is usable, and why or why not. */
function verdict(
  facts: FunctionFacts,
  method: string,
  all: readonly FunctionFacts[] = host,
): [boolean, string] {
  const found = resetMethods(facts, all).find((candidate) => candidate.method === method);
  return [found?.usable ?? false, found?.why ?? 'not listed'];
}

describe('what registers and place promise', () => {
  it.each([
    ['e1000e', nic, ['pm', 'bus']],
    ['NVMe', nvme, ['flr', 'bus']],
    ['xHCI', captured('1b36:000d'), ['bus']],
    ['82576', physical, ['flr', 'pm']],
    ['its virtual function', captured('8086:10ca'), ['flr']],
    ['a graphics card', display, []],
    ['AC97', ac97, []],
    ['RTL8139', rtl8139, []],
    ['a PCI bridge', captured('8086:244e'), []],
  ])('%s', (_, facts, methods) => {
    expect(possibleResetMethods(facts, host)).toEqual(methods);
  });

  it('AF FLR needs both of its capability bits', () => {
    const withAf = (capabilities: number): FunctionFacts => {
      const config = ac97.config.slice();
      config[0x06] = 0x10;
      config[0x34] = 0x40;
      config.set([0x13, 0x00, 0x06, capabilities], 0x40);
      return { ...ac97, config };
    };
    expect(possibleResetMethods(withAf(0x03), host)).toEqual(['af_flr']);
    expect(possibleResetMethods(withAf(0x02), host)).toEqual([]);
  });

  it('nothing can be told from 64 bytes but the bus', () => {
    const unprivileged = { ...nic, config: nic.config.slice(0, 64) };
    expect(possibleResetMethods(unprivileged, host)).toEqual(['bus']);
    expect(verdict(unprivileged, 'flr')).toEqual([false, expect.stringContaining('root')]);
    const without = { ...ac97, config: ac97.config.slice(0, 64) };
    expect(verdict(without, 'flr')).toEqual([false, 'no PCI Express capability']);
  });
});

describe('the report', () => {
  it('has every method, first those that the host offers in its order', () => {
    const facts = { ...nic, resetMethods: ['bus', 'pm'] };
    expect(resetMethods(facts, host).map(({ method, usable }) => [method, usable])).toEqual([
      ['bus', true],
      ['pm', true],
      ['device_specific', false],
      ['acpi', false],
      ['flr', false],
      ['af_flr', false],
    ]);
  });

  it('says why', () => {
    expect(verdict(display, 'pm')).toEqual([false, expect.stringContaining('No_Soft_Reset')]);
    expect(verdict(display, 'flr')).toEqual([false, 'no function level reset']);
    expect(verdict(display, 'bus')).toEqual([false, 'shares its bus with 0000:45:00.1']);
    expect(verdict(nic, 'bus')).toEqual([true, 'alone behind 0000:40:01.0']);
    expect(verdict(captured('8086:244e'), 'bus')).toEqual([false, 'no bridge is above it']);
  });

  it('believes the kernel, but for a bus that others turned up on since', () => {
    expect(verdict({ ...nic, resetMethods: ['acpi', 'cxl_bus'] }, 'acpi')).toEqual([
      true,
      'the kernel offers it',
    ]);
    expect(verdict({ ...nic, resetMethods: ['acpi', 'cxl_bus'] }, 'cxl_bus')).toEqual([
      true,
      'the kernel offers it',
    ]);
    expect(verdict(rtl8139, 'bus')).toEqual([false, 'shares its bus with 0000:44:02.0']);
    expect(verdict({ ...nvme, resetMethods: [] }, 'flr')).toEqual([
      false,
      'function level reset, but the kernel does not offer it',
    ]);
  });

  it('counts who else is on the bus', () => {
    const third = { ...ac97, sbdf: sbdf('44:03.0') };
    expect(verdict(rtl8139, 'bus', [...host, third])[1]).toBe('shares its bus with 0000:44:02.0 and 1 more');
  });

  it('does not take another segment for the same bus', () => {
    const elsewhere = { ...nic, sbdf: sbdf('0001:41:00.0') };
    expect(verdict(elsewhere, 'bus', [...host, elsewhere])).toEqual([true, 'the kernel offers it']);
    expect(possibleResetMethods(elsewhere, [...host, elsewhere])).toEqual(['pm']);
    expect(verdict(nic, 'bus', [...host, elsewhere])).toEqual([true, 'alone behind 0000:40:01.0']);
  });
});
