/** What the 24 bits of a class code say (PCI Code and ID Assignment Specification 1.11, chapter 1). */

interface BaseClass {
  readonly name: string;
  readonly subclasses: Readonly<Record<number, string>>;
}

const baseClasses: Readonly<Record<number, BaseClass>> = {
  0x00: { name: 'Unclassified device', subclasses: { 0x01: 'VGA-compatible unclassified device' } },
  0x01: {
    name: 'Mass storage controller',
    subclasses: {
      0x00: 'SCSI controller',
      0x01: 'IDE controller',
      0x02: 'Floppy controller',
      0x03: 'IPI controller',
      0x04: 'RAID controller',
      0x05: 'ATA controller',
      0x06: 'SATA controller',
      0x07: 'SAS controller',
      0x08: 'Non-volatile memory controller',
      0x09: 'Universal flash storage controller',
    },
  },
  0x02: {
    name: 'Network controller',
    subclasses: {
      0x00: 'Ethernet controller',
      0x01: 'Token ring controller',
      0x02: 'FDDI controller',
      0x03: 'ATM controller',
      0x04: 'ISDN controller',
      0x06: 'PICMG 2.14 multicomputing controller',
      0x07: 'InfiniBand controller',
      0x08: 'Fabric controller',
    },
  },
  0x03: {
    name: 'Display controller',
    subclasses: { 0x00: 'VGA controller', 0x01: 'XGA controller', 0x02: '3D controller' },
  },
  0x04: {
    name: 'Multimedia controller',
    subclasses: {
      0x00: 'Video device',
      0x01: 'Audio device',
      0x02: 'Telephony device',
      0x03: 'High definition audio device',
    },
  },
  0x05: { name: 'Memory controller', subclasses: { 0x00: 'RAM', 0x01: 'Flash memory', 0x02: 'CXL memory' } },
  0x06: {
    name: 'Bridge',
    subclasses: {
      0x00: 'Host bridge',
      0x01: 'ISA bridge',
      0x02: 'EISA bridge',
      0x03: 'MicroChannel bridge',
      0x04: 'PCI bridge',
      0x05: 'PCMCIA bridge',
      0x06: 'NuBus bridge',
      0x07: 'CardBus bridge',
      0x08: 'RACEway bridge',
      0x09: 'Semi-transparent PCI bridge',
      0x0a: 'InfiniBand to PCI bridge',
    },
  },
  0x07: {
    name: 'Communication controller',
    subclasses: {
      0x00: 'Serial controller',
      0x01: 'Parallel controller',
      0x02: 'Multiport serial controller',
      0x03: 'Modem',
      0x04: 'GPIB controller',
      0x05: 'Smart card controller',
    },
  },
  0x08: {
    name: 'System peripheral',
    subclasses: {
      0x00: 'Interrupt controller',
      0x01: 'DMA controller',
      0x02: 'Timer',
      0x03: 'Real-time clock',
      0x04: 'Hot-plug controller',
      0x05: 'SD host controller',
      0x06: 'IOMMU',
    },
  },
  0x09: {
    name: 'Input device controller',
    subclasses: { 0x00: 'Keyboard controller', 0x01: 'Digitizer', 0x02: 'Mouse controller' },
  },
  0x0a: { name: 'Docking station', subclasses: {} },
  0x0b: { name: 'Processor', subclasses: { 0x40: 'Co-processor' } },
  0x0c: {
    name: 'Serial bus controller',
    subclasses: {
      0x00: 'FireWire controller',
      0x02: 'SSA controller',
      0x03: 'USB controller',
      0x04: 'Fibre Channel controller',
      0x05: 'SMBus controller',
      0x06: 'InfiniBand controller',
      0x07: 'IPMI interface',
      0x09: 'CAN bus controller',
      0x0a: 'MIPI I3C controller',
    },
  },
  0x0d: {
    name: 'Wireless controller',
    subclasses: { 0x00: 'IrDA controller', 0x10: 'RF controller', 0x11: 'Bluetooth controller' },
  },
  0x0e: { name: 'Intelligent I/O controller', subclasses: {} },
  0x0f: { name: 'Satellite communication controller', subclasses: {} },
  0x10: {
    name: 'Encryption controller',
    subclasses: { 0x00: 'Network encryption controller', 0x10: 'Entertainment encryption controller' },
  },
  0x11: {
    name: 'Signal processing controller',
    subclasses: { 0x00: 'DPIO module', 0x01: 'Performance counters', 0x10: 'Communication synchroniser' },
  },
  0x12: { name: 'Processing accelerator', subclasses: {} },
  0x13: { name: 'Non-essential instrumentation', subclasses: {} },
  0x40: { name: 'Co-processor', subclasses: {} },
  0xff: { name: 'Unassigned class', subclasses: {} },
};

/** Where the programming interface is what people know a controller by; keys are all 24 bits. */
const interfaces: Readonly<Record<number, string>> = {
  0x01_0601: 'AHCI',
  0x01_0802: 'NVMe',
  0x0c_0300: 'UHCI',
  0x0c_0310: 'OHCI',
  0x0c_0320: 'EHCI',
  0x0c_0330: 'xHCI',
  0x0c_0340: 'USB4',
};

/** `Ethernet controller`, `USB controller (xHCI)`, or `Class 42` for what has no name. Takes 24 bits. */
export function className(classCode: number): string {
  const base = baseClasses[classCode >>> 16];
  if (base === undefined) return `Class ${(classCode >>> 16).toString(16).padStart(2, '0')}`;
  const subclass = (classCode >>> 8) & 0xff;
  const name = base.subclasses[subclass] ?? base.name;
  const by = interfaces[classCode];
  return by === undefined ? name : `${name} (${by})`;
}
