/** The header of a device (PCI Local Bus 3.0, 6.1). */
import { barRegisters } from './bar.ts';
import { commonRegisters } from './header.ts';
import { type Blueprint, type Register, stable } from './register.ts';

export const headerType0 = (blueprint: Blueprint): readonly Register[] => [
  ...commonRegisters(blueprint),
  ...barRegisters(blueprint),
  stable('CardBus CIS pointer', 0x28, 4, blueprint),
  stable('Subsystem vendor ID', 0x2c, 2, blueprint),
  stable('Subsystem ID', 0x2e, 2, blueprint),
  stable('Minimum grant', 0x3e, 1, blueprint),
  stable('Maximum latency', 0x3f, 1, blueprint),
];
