import { describe, expect, it } from 'vitest';
import { parseInterrupts } from '../../../src/doctor/gather/machine.ts';

describe('/proc/interrupts', () => {
  it.each([
    [
      ' 16:       4       0  xen-pirq    -ioapic-level  ehci_hcd:usb1, i801_smbus',
      ['ehci_hcd:usb1', 'i801_smbus'],
    ],
    [' 16:   87     0  IO-APIC  16-fasteoi   i915', ['i915']],
    [' 16:          1          0  IO-APIC   5-edge      ACPI:Ged', ['ACPI:Ged']],
    [' 16:          0  xen-dyn    -event     xenbus', ['xenbus']],
    [' 16:          0  PCI-MSIX-0000:00:05.0   0-edge      virtio4-config', ['virtio4-config']],
    [' 16:          5  IO-APIC   7-edge', undefined],
    [' 16:          0  xen-pirq    -msi-x', undefined],
    ['NMI:          0   Non-maskable interrupts', undefined],
  ])('%s', (line, users) => {
    expect(parseInterrupts(`           CPU0       CPU1\n${line}\n`).get(16)).toEqual(users);
  });
});
