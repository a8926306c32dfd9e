/** Advanced features of conventional functions (PCI ECN, Advanced Capabilities): a function-level reset, as in `pcie.ts`. */
import { Af } from './bits.ts';
import { byteAt } from './image.ts';
import { type Blueprint, register, type Register, stable } from './register.ts';

export function afRegisters(at: number, blueprint: Blueprint): readonly Register[] {
  const canReset = (byteAt(blueprint.seized.config, at + Af.capabilities) & Af.flrCapable) !== 0;
  return [
    stable('Advanced features capability', at, 4, blueprint),
    register('AF control', at + Af.control, 1, {
      drops: Af.initiateFlr,
      resets: canReset ? Af.initiateFlr : 0,
    }),
    register('AF status', at + Af.control + 1, 1),
  ];
}
