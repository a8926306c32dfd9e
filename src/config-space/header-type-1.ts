/**
 * The header of a PCI-to-PCI bridge (PCI-to-PCI Bridge 1.2, 3.2). Bus numbers, windows and bridge control have no rule: a
 * guest can read them, and cannot move or reset the bus behind the bridge unless its filter is permissive.
 */
import { barRegisters } from './bar.ts';
import { commonRegisters } from './header.ts';
import { Status } from './bits.ts';
import { type Blueprint, register, type Register } from './register.ts';

export const headerType1 = (blueprint: Blueprint): readonly Register[] => [
  ...commonRegisters(blueprint),
  ...barRegisters(blueprint),
  register('Primary bus number', 0x18, 1),
  register('Secondary bus number', 0x19, 1),
  register('Subordinate bus number', 0x1a, 1),
  register('Secondary latency timer', 0x1b, 1),
  register('I/O base and limit', 0x1c, 2),
  register('Secondary status', 0x1e, 2, { clears: Status.writeOneToClear }),
  register('Memory base and limit', 0x20, 4),
  register('Prefetchable base and limit', 0x24, 4),
  register('Prefetchable base, upper half', 0x28, 4),
  register('Prefetchable limit, upper half', 0x2c, 4),
  register('I/O base and limit, upper halves', 0x30, 4),
  register('Bridge control', 0x3e, 2),
];
