/** Offsets and bits of the configuration header that a guest uses (PCI Local Bus 3.0, 6.1 and 6.2). */
export const Register = {
  id: 0x00,
  command: 0x04,
  status: 0x06,
  classAndRevision: 0x08,
  cacheLineSize: 0x0c,
  latencyTimer: 0x0d,
  headerType: 0x0e,
  bar0: 0x10,
  /** Type 1: primary, secondary and subordinate bus, one byte each. */
  busNumbers: 0x18,
  subsystem: 0x2c,
  rom: 0x30,
  capabilityPointer: 0x34,
  /** Type 1 keeps its expansion ROM here. */
  bridgeRom: 0x38,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  /** Type 1: two bytes; bit 6 resets the secondary bus. */
  bridgeControl: 0x3e,
} as const;

export const CommandBit = {
  io: 1 << 0,
  memory: 1 << 1,
  master: 1 << 2,
  intxDisable: 1 << 10,
} as const;

export const statusCapabilityList = 1 << 4;

export const HeaderType = { layoutMask: 0x7f, multifunction: 0x80, endpoint: 0, bridge: 1 } as const;

/** Identifiers of the capabilities that this front-end acts on. */
export const CapabilityId = {
  powerManagement: 0x01,
  vpd: 0x03,
  msi: 0x05,
  pciExpress: 0x10,
  msix: 0x11,
  advancedFeatures: 0x13,
} as const;

export const ExtendedCapabilityId = {
  advancedErrorReporting: 0x0001,
  ats: 0x000f,
  sriov: 0x0010,
} as const;
