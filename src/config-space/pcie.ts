/**
 * PCI Express (PCIe 4.0, 7.5.3). Its registers have no rule of their own, save one bit: a function-level reset must not reach
 * the hardware behind the back of whoever has to restore it afterwards, in any mode. The bit asks for one when Device
 * Capabilities says that the function can do it; where it cannot (bridges to PCI use the bit for something else) it is dropped.
 */
import { Pcie } from './bits.ts';
import { dwordAt, wordAt } from './image.ts';
import { type Blueprint, register, type Register, stable } from './register.ts';

/** Device/port types that have no link: root complex integrated endpoint and event collector. */
const withoutLink = new Set([0x9, 0xa]);

export function pcieRegisters(at: number, blueprint: Blueprint): readonly Register[] {
  const { config } = blueprint.seized;
  const canReset = (dwordAt(config, at + Pcie.deviceCapabilities) & Pcie.flrCapable) !== 0;
  const portType = (wordAt(config, at + 2) >>> 4) & 0xf;
  return [
    stable('PCI Express capability', at, 4, blueprint),
    stable('PCIe device capabilities', at + Pcie.deviceCapabilities, 4, blueprint),
    register('PCIe device control', at + Pcie.deviceControl, 2, {
      drops: Pcie.initiateFlr,
      resets: canReset ? Pcie.initiateFlr : 0,
    }),
    register('PCIe device status', at + Pcie.deviceStatus, 2, { clears: 0x000f }),
    ...(withoutLink.has(portType)
      ? []
      : [
          register('PCIe link capabilities', at + 0x0c, 4),
          register('PCIe link control', at + 0x10, 2),
          register('PCIe link status', at + 0x12, 2, { clears: 0xc000 }),
        ]),
  ];
}
