/** Where a Linux host shows its devices and processes, and how its attributes are written. */
import { join } from 'node:path';
import { formatSbdf, type Sbdf } from '../address.ts';
import { writeAttribute } from './attribute-writer.ts';

export interface HostRoot {
  /** `/sys`, without a slash at the end. */
  readonly sysfs: string;
  /** `/proc`. */
  readonly proc: string;
  /** `/run`, where udev keeps what it has found on disks; undefined where it is not to be looked at. */
  readonly run?: string;
  /**
   * Writes an attribute with a single write(2), which can take seconds: the driver that is unbound waits for its hardware. Nothing else
   * waits for it, but for what has the same directory `held`. Rejects with the error of the operating system.
   */
  write(path: string, text: string, held?: string): Promise<void>;
}

/** This machine. */
export const linuxHost: HostRoot = { sysfs: '/sys', proc: '/proc', run: '/run', write: writeAttribute };

/** The directory of a function in sysfs: a link to its place in the tree of devices. */
export const functionDirectory = ({ sysfs }: HostRoot, sbdf: Sbdf): string =>
  join(sysfs, 'bus/pci/devices', formatSbdf(sbdf));

/** The directory of a PCI driver. */
export const driverDirectory = ({ sysfs }: HostRoot, driver: string): string =>
  join(sysfs, 'bus/pci/drivers', driver);
