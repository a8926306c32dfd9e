/** Message-signalled interrupts (PCI Local Bus 3.0, 6.8.1). Address, data, masks and pending bits have no rule. */
import { Msi } from './bits.ts';
import { msiControlRule, msiSwitchable } from './interrupts.ts';
import { wordAt } from './image.ts';
import { type Blueprint, capabilityHeader, forwarded, register, type Register } from './register.ts';

export function msiRegisters(at: number, blueprint: Blueprint): readonly Register[] {
  const { mode, seized } = blueprint;
  const control = wordAt(seized.config, at + Msi.control);
  const is64Bit = (control & (1 << 7)) !== 0;
  const hasMasks = (control & (1 << 8)) !== 0;
  const data = at + (is64Bit ? 0x0c : 0x08);
  return [
    capabilityHeader('MSI', at, blueprint),
    mode.permissive
      ? register('MSI control', at + Msi.control, 2, { rule: forwarded, reaches: 0xffff })
      : register('MSI control', at + Msi.control, 2, {
          rule: msiControlRule,
          reaches: mode.interruptControl ? msiSwitchable : 0,
        }),
    register('MSI address', at + 0x04, 4),
    ...(is64Bit ? [register('MSI upper address', at + 0x08, 4)] : []),
    register('MSI data', data, 2),
    ...(hasMasks ? [register('MSI mask bits', data + 4, 4), register('MSI pending bits', data + 8, 4)] : []),
  ];
}
