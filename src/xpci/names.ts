/** The names that a listing uses. Only common ones: what is not here is shown by its number. */

/** By base class and sub-class (PCI Code and ID Assignment Specification 1.11, chapter 1). */
const classNames: Readonly<Record<number, string>> = {
  0x0100: 'SCSI controller',
  0x0101: 'IDE controller',
  0x0104: 'RAID controller',
  0x0106: 'SATA controller',
  0x0107: 'SAS controller',
  0x0108: 'NVMe controller',
  0x0180: 'Mass storage controller',
  0x0200: 'Ethernet controller',
  0x0207: 'InfiniBand controller',
  0x0280: 'Network controller',
  0x0300: 'VGA controller',
  0x0302: '3D controller',
  0x0380: 'Display controller',
  0x0400: 'Video device',
  0x0401: 'Audio device',
  0x0403: 'High Definition Audio device',
  0x0500: 'RAM memory',
  0x0580: 'Memory controller',
  0x0600: 'Host bridge',
  0x0601: 'ISA bridge',
  0x0604: 'PCI bridge',
  0x0680: 'Bridge',
  0x0700: 'Serial controller',
  0x0780: 'Communication controller',
  0x0880: 'System peripheral',
  0x0c03: 'USB controller',
  0x0c04: 'Fibre Channel controller',
  0x0c05: 'SMBus controller',
  0x0d80: 'Wireless controller',
  0x1000: 'Network and computing encryption device',
  0x1080: 'Encryption controller',
  0x1180: 'Signal processing controller',
  0x1200: 'Processing accelerator',
};

const capabilityNames: Readonly<Record<number, string>> = {
  0x01: 'Power Management',
  0x02: 'AGP',
  0x03: 'Vital Product Data',
  0x04: 'Slot Identification',
  0x05: 'MSI',
  0x07: 'PCI-X',
  0x08: 'HyperTransport',
  0x09: 'Vendor Specific',
  0x0a: 'Debug Port',
  0x0d: 'Bridge Subsystem',
  0x10: 'PCI Express',
  0x11: 'MSI-X',
  0x12: 'SATA HBA',
  0x13: 'Advanced Features',
  0x14: 'Enhanced Allocation',
};

const extendedCapabilityNames: Readonly<Record<number, string>> = {
  0x0001: 'Advanced Error Reporting',
  0x0002: 'Virtual Channel',
  0x0003: 'Device Serial Number',
  0x0004: 'Power Budgeting',
  0x000b: 'Vendor Specific',
  0x000d: 'Access Control Services',
  0x000e: 'Alternative Routing-ID Interpretation',
  0x000f: 'Address Translation Service',
  0x0010: 'Single Root I/O Virtualization',
  0x0013: 'Page Request Interface',
  0x0015: 'Resizable BAR',
  0x0016: 'Dynamic Power Allocation',
  0x0017: 'TPH Requester',
  0x0018: 'Latency Tolerance Reporting',
  0x0019: 'Secondary PCI Express',
  0x001b: 'Process Address Space ID',
  0x001d: 'Downstream Port Containment',
  0x001e: 'L1 PM Substates',
  0x001f: 'Precision Time Measurement',
  0x0023: 'Designated Vendor Specific',
  0x0025: 'Data Link Feature',
  0x0026: 'Physical Layer 16.0 GT/s',
  0x0027: 'Lane Margining at the Receiver',
};

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** `Ethernet controller`, or `Class 0b40`. Takes all 24 bits of the class code. */
export const className = (classCode: number): string =>
  classCode >>> 16 === 0xff
    ? 'Unassigned class'
    : (classNames[classCode >>> 8] ?? `Class ${hex(classCode >>> 8, 4)}`);

export const capabilityName = (id: number, extended: boolean): string =>
  extended
    ? (extendedCapabilityNames[id] ?? `Extended capability ${hex(id, 4)}`)
    : (capabilityNames[id] ?? `Capability ${hex(id, 2)}`);
