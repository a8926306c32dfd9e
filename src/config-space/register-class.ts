/** The few kinds of registers that statistics tell apart. */
import { barRule } from './bar.ts';
import { CapabilityId, Header } from './bits.ts';
import { standardCapabilities } from './capabilities.ts';
import type { CompiledFilter } from './compile.ts';

export type RegisterClass =
  | 'command'
  | 'bar'
  | 'header'
  | 'pm'
  | 'vpd'
  | 'msi'
  | 'pcie'
  | 'msix'
  | 'af'
  | 'ea'
  | 'capability'
  | 'extended'
  | 'other';

const byCapability: Readonly<Record<number, RegisterClass>> = {
  [CapabilityId.powerManagement]: 'pm',
  [CapabilityId.vpd]: 'vpd',
  [CapabilityId.msi]: 'msi',
  [CapabilityId.pciExpress]: 'pcie',
  [CapabilityId.msix]: 'msix',
  [CapabilityId.advancedFeatures]: 'af',
  [CapabilityId.enhancedAllocation]: 'ea',
};

/**
 * The kind of each dword register of a function, in ascending order. Between its capabilities a function may have registers
 * that nobody but its driver knows: those are `other`.
 */
export function registerClasses({ seized, registers, length }: CompiledFilter): readonly RegisterClass[] {
  const capabilities = standardCapabilities(seized.config).toSorted((a, b) => a.offset - b.offset);
  const classOf = (offset: number): RegisterClass => {
    if (offset === Header.command) return 'command';
    const row = registers.find((each) => each.offset < offset + 4 && each.offset + each.size > offset);
    if (offset < Header.end) return row?.rule === barRule ? 'bar' : 'header';
    if (offset >= 0x100) return 'extended';
    if (!row) return 'other';
    const id = capabilities.findLast((each) => each.offset <= offset)?.id;
    return byCapability[id ?? -1] ?? 'capability';
  };
  return Array.from({ length: length / 4 }, (_, dword) => classOf(4 * dword));
}
