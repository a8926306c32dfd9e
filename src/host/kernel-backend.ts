/**
 * The kernel's own back-end, xen-pciback. Where it is loaded its driver binds to every PCI device that a toolstack makes, as
 * soon as the kernel hears of the directory; stock xl insists on its being there. A guest that it serves can be taken from it
 * as long as its front-end has not come up.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PcibackError } from '../errors.ts';
import type { HostRoot } from './host-root.ts';

const deviceOf = ({ sysfs }: HostRoot, domid: number): string =>
  join(sysfs, 'bus/xen-backend/devices', `pci-${domid}-0`);

const driverOf = (root: HostRoot, domid: number): string => join(deviceOf(root, domid), 'driver');

/** The driver on the bus of back-ends, by its name (Linux drivers/xen/xen-pciback/pciback.h, DRV_NAME) and by that of old kernels. */
const drivers = ['xen-pciback', 'pciback'];

/** Whether the kernel's driver is loaded: it binds to every PCI device whose directory is in Initialising. */
export const kernelBinds = ({ sysfs }: HostRoot): boolean =>
  drivers.some((name) => existsSync(join(sysfs, 'bus/xen-backend/drivers', name)));

/**
 * Whether the kernel has a device for the directory of a guest. Once it is there no driver binds to it by itself: one that a driver
 * has let go of stays until the directory is removed.
 */
export const kernelKnows = (root: HostRoot, domid: number): boolean => existsSync(deviceOf(root, domid));

/** Whether the kernel's driver has the PCI device of a guest. */
export const kernelServes = (root: HostRoot, domid: number): boolean => existsSync(driverOf(root, domid));

/** Milliseconds that the kernel is given to look at a directory that has just been made, and between two looks at sysfs. */
const patience = 5000;
const shortestPause = 2;
const longestPause = 50;

/**
 * Resolves when the driver has bound to a directory in Initialising, or when it will not: the kernel knows an earlier directory of
 * that name, or refuses this one. Nothing in sysfs rings, so it is looked at again and again.
 */
export async function awaitKernel(root: HostRoot, domid: number, milliseconds = patience): Promise<void> {
  const end = performance.now() + milliseconds;
  for (let pause = shortestPause; kernelBinds(root) && !kernelServes(root, domid);) {
    if (performance.now() > end) return;
    await sleep(pause, undefined, { ref: false });
    pause = Math.min(2 * pause, longestPause);
  }
}

/**
 * Unbinds it. The kernel then resets the functions that it had exported and writes Closed. Rejects with KERNEL-BACKEND when it does
 * not let go.
 */
export async function takeFromKernel(root: HostRoot, domid: number): Promise<void> {
  try {
    const device = deviceOf(root, domid);
    await root.write(join(device, 'driver/unbind'), `pci-${domid}-0`, device);
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
