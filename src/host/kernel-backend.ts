/**
 * The kernel's own back-end, xen-pciback. Where it is loaded its driver binds to every PCI device that a toolstack makes, as
 * soon as the kernel hears of the directory; stock xl insists on its being there. A guest that it serves can be taken from it
 * as long as its front-end has not come up.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PcibackError } from '../errors.ts';
import type { HostRoot } from './host-root.ts';

const driverOf = ({ sysfs }: HostRoot, domid: number): string =>
  join(sysfs, 'bus/xen-backend/devices', `pci-${domid}-0`, 'driver');

/** Whether the kernel's driver has the PCI device of a guest. */
export const kernelServes = (root: HostRoot, domid: number): boolean => existsSync(driverOf(root, domid));

/**
 * Unbinds it. The kernel then resets the functions that it had exported and writes Closed. Rejects with KERNEL-BACKEND when it does
 * not let go.
 */
export async function takeFromKernel(root: HostRoot, domid: number): Promise<void> {
  try {
    await root.write(join(driverOf(root, domid), 'unbind'), `pci-${domid}-0`);
  } catch (cause) {
    // It has let go by itself meanwhile: the device is gone.
    if (!kernelServes(root, domid)) return;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PcibackError(
      'KERNEL-BACKEND',
      `the kernel's xen-pciback does not let go of the PCI device of domain ${domid}: ${why}`,
      'unload it before guests are started: modprobe -r xen-pciback',
      { cause },
    );
  }
}
