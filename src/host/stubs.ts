/** Drivers that hold a function for guests and do nothing with it. */
export type StubDriver = 'pciback' | 'pci-stub';

/** Best first: libxl takes a function for assignable only when xen-pciback has it (libxl_pci.c, libxl__device_pci_assignable_add). */
export const stubDrivers: readonly StubDriver[] = ['pciback', 'pci-stub'];

export const isStub = (driver: string | null): driver is StubDriver =>
  stubDrivers.some((stub) => stub === driver);
