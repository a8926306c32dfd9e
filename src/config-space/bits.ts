/**
 * Offsets, bits and identifiers that the PCI specifications define, as far as the filter has to know them. Nothing here is a
 * decision of ours. References: PCI = PCI Local Bus 3.0, PM = PCI Power Management 1.2, PCIe = PCI Express Base 4.0.
 */

/** The configuration header (PCI 6.1, 6.2; PCI-to-PCI Bridge 1.2, 3.2 for what only type 1 has). */
export const Header = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  classAndRevision: 0x08,
  cacheLineSize: 0x0c,
  latencyTimer: 0x0d,
  headerType: 0x0e,
  bist: 0x0f,
  bar0: 0x10,
  rom: 0x30,
  capabilityPointer: 0x34,
  bridgeRom: 0x38,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  end: 0x40,
} as const;

export const headerTypeMask = 0x7f;

/** The command register (PCI 6.2.2). */
export const Command = {
  io: 1 << 0,
  memory: 1 << 1,
  master: 1 << 2,
  specialCycles: 1 << 3,
  memoryWriteInvalidate: 1 << 4,
  vgaPaletteSnoop: 1 << 5,
  waitCycles: 1 << 7,
  fastBackToBack: 1 << 9,
  intxDisable: 1 << 10,
} as const;

/** The status register (PCI 6.2.3). */
export const Status = {
  capabilityList: 1 << 4,
  /** Error bits 8 and 11..15 are cleared by writing one. */
  writeOneToClear: 0xf900,
} as const;

/** Built-in self test (PCI 6.2.4). */
export const bistStart = 1 << 6;

/** Low bits of a base address register (PCI 6.2.5.1): what it decodes rather than where. */
export const Bar = {
  io: 0x1,
  memory64: 0x4,
  prefetchable: 0x8,
  ioTypeMask: 0x3,
  memoryTypeMask: 0xf,
  /** Expansion ROM (PCI 6.2.5.2): bit 0 enables it, bits 1..10 are reserved. */
  romTypeMask: 0x7ff,
} as const;

export const CapabilityId = {
  powerManagement: 0x01,
  vpd: 0x03,
  msi: 0x05,
  pciExpress: 0x10,
  msix: 0x11,
  advancedFeatures: 0x13,
  enhancedAllocation: 0x14,
} as const;

export const ExtendedCapabilityId = {
  acs: 0x000d,
  ats: 0x000f,
  sriov: 0x0010,
  pri: 0x0013,
  resizableBar: 0x0015,
  pasid: 0x001b,
  vfResizableBar: 0x0024,
} as const;

/** Power management capability (PM 3.2). */
export const Pm = {
  capabilities: 2,
  control: 4,
  bridgeExtensions: 6,
  data: 7,
  d1Support: 1 << 9,
  d2Support: 1 << 10,
  pmeSupport: 0xf800,
  stateMask: 0x3,
  d3hot: 3,
  noSoftReset: 1 << 3,
  pmeEnable: 1 << 8,
  dataSelect: 0x1e00,
  pmeStatus: 1 << 15,
} as const;

/** MSI capability (PCI 6.8.1). */
export const Msi = { control: 2, enable: 1 << 0, multipleMessageEnable: 0x70 } as const;

/** MSI-X capability (PCI 6.8.2). */
export const Msix = {
  control: 2,
  table: 4,
  pendingBits: 8,
  tableSizeMask: 0x7ff,
  functionMask: 1 << 14,
  enable: 1 << 15,
  barMask: 0x7,
  entryBytes: 16,
} as const;

/** Vital product data (PCI appendix I). */
export const Vpd = { address: 2, data: 4, writeFlag: 1 << 15 } as const;

/** PCI Express capability (PCIe 7.5.3). */
export const Pcie = {
  deviceCapabilities: 4,
  deviceControl: 8,
  deviceStatus: 10,
  /** Device Capabilities bit 28. */
  flrCapable: 1 << 28,
  /** Device Control bit 15 (on bridges to PCI: configuration retry enable). */
  initiateFlr: 1 << 15,
} as const;

/** Advanced features capability of conventional functions (PCI ECN Advanced Capabilities). */
export const Af = { capabilities: 3, control: 4, flrCapable: 1 << 1, initiateFlr: 1 << 0 } as const;
