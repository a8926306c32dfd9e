import { describe, expect, it } from 'vitest';
import { formatPattern } from '../../src/toolstack/address-text.ts';
import { parseKernelCommandLine, splitCommandLine } from '../../src/toolstack/kernel-command-line.ts';

const hidden = (text: string): string[] =>
  parseKernelCommandLine(text).entries.map(({ pattern }) => formatPattern(pattern));

describe('the words of a command line', () => {
  it.each([
    [
      'ro quiet',
      [
        ['ro', undefined],
        ['quiet', undefined],
      ],
    ],
    [
      'root=/dev/sda1 a=',
      [
        ['root', '/dev/sda1'],
        ['a', ''],
      ],
    ],
    [
      'a="x y" b',
      [
        ['a', 'x y'],
        ['b', undefined],
      ],
    ],
    [
      '"a=x y" b',
      [
        ['a', 'x y'],
        ['b', undefined],
      ],
    ],
    ['a=1 -- b=2', [['a', '1']]],
    ['', []],
  ])('%j', (text, words) => {
    expect(splitCommandLine(text).map(({ key, value }) => [key, value])).toEqual(words);
  });

  it.each(['  key=value', 'x key="value"', 'x "key=value"'])('%j says where the value is', (text) => {
    const word = splitCommandLine(text, 10).at(-1);
    expect(text.slice((word?.valueAt ?? 0) - 10).startsWith('value')).toBe(true);
  });
});

describe('the functions that a command line hides', () => {
  it.each([
    ['ro xen-pciback.hide=(03:00.0)(04:00.1) quiet', ['0000:03:00.0', '0000:04:00.1']],
    ['xen_pciback.hide=(03:00.0)', ['0000:03:00.0']],
    ['xen-pciback.hide="(03:00.0) (04:00.0)"', ['0000:03:00.0', '0000:04:00.0']],
    ['"xen-pciback.hide=(03:00.0) (04:00.0)"', ['0000:03:00.0', '0000:04:00.0']],
    ['console=pc pciback.hide=(0a:00.0)', ['0000:0a:00.0']],
    ['PciBack.Hide=(0a:00.0)', ['0000:0a:00.0']],
    ['xen-pciback.hide=(03:00.0) xen-pciback.hide=(04:00.0)', ['0000:03:00.0', '0000:04:00.0']],
    ['ro -- xen-pciback.hide=(03:00.0)', []],
    ['xen-netback.hide=(03:00.0)', []],
    ['Xen-Pciback.hide=(03:00.0)', []],
  ])('%j hides %j', (text, expected) => {
    expect(hidden(text)).toEqual(expected);
  });

  it('places mistakes in the whole line', () => {
    const text = 'ro xen-pciback.hide=(03:00.0)(0000:82.0.0)';
    const [found] = parseKernelCommandLine(text).problems;
    expect(found && text.slice(found.at)).toBe('82.0.0)');
  });

  it('says when the parameter has no value', () => {
    expect(parseKernelCommandLine('a xen-pciback.hide').problems).toMatchObject([{ at: 2, length: 16 }]);
  });

  it.each([
    ['xen-pciback.hide=(03:00.0)', []],
    ['xen-pciback.hide="(03:00.*) (0001:03:*.*)"', []],
    ['xen-pciback.hide=(03:00.0),(04:00.0)', [',(04:00.0)']],
    ['xen-pciback.hide=03:00.0', ['03:00.0']],
    ['pciback.hide=(03:00.0)(0000:04:00.0)', []],
    ['pciback.hide=(03:00.*)(0001:04:00.0)', ['(03:00.*)(0001:04:00.0)', '(0001:04:00.0)']],
    [`pciback.hide=${'(03:00.0)'.repeat(8)}`, ['(03:00.0)']],
  ])('%s: what the kernel itself would not read', (text, tails) => {
    expect(parseKernelCommandLine(text).warnings.map(({ at }) => text.slice(at))).toEqual(tails);
  });

  it.each([
    ['xen-pciback.passthrough=1', true],
    ['xen_pciback.passthrough', true],
    ['xen-pciback.passthrough=0', false],
    ['quiet', false],
  ])('%s shows guests the real buses: %s', (text, passthrough) => {
    expect(parseKernelCommandLine(text).passthrough).toBe(passthrough);
  });
});
