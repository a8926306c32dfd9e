/** The devices that dom0's drivers have made of a function: its disks, interfaces, terminals ... */
import { readdirSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readText } from '../sysfs-file.ts';

/** What uses a function, for people. */
export interface Use {
  /** `eth0`, `/dev/nvme0n1p1` ... */
  readonly what: string;
  /** `mounted at /srv`. */
  readonly detail: string;
  /** What to do so that it is used no more: `umount /srv`. */
  readonly remedy: string;
}

export interface Device {
  /** Its directory in sysfs. */
  readonly path: string;
  /** `eth0`, `nvme0n1p1`. */
  readonly name: string;
  /** `net`, `block`, `tty` ... */
  readonly subsystem: string;
  /** `major:minor`; undefined when it has no device file. */
  readonly number: string | undefined;
  /** The path of its device file. */
  readonly file: string | undefined;
}

export interface DevicesBelow {
  readonly devices: readonly Device[];
  /** Whether there were more than `limit` directories to look at. */
  readonly truncated: boolean;
}

/**
 * All devices in a directory of sysfs and below, itself included. Links are not followed. Other PCI functions and what is
 * below them are left out unless `throughBridges`. No controller has as many as 20000 directories: the limit is a guard.
 */
export function devicesBelow(directory: string, throughBridges = false, limit = 20_000): DevicesBelow {
  const devices: Device[] = [];
  const pending = [directory];
  for (let visited = 0; visited < limit; visited += 1) {
    const path = pending.pop();
    if (path === undefined) return { devices, truncated: false };
    const entries = entriesOf(path);
    if (entries.some(({ name }) => name === 'subsystem')) {
      const device = readDevice(path);
      if (device.subsystem === 'pci' && path !== directory && !throughBridges) continue;
      devices.push(device);
    }
    for (const entry of entries) if (entry.isDirectory()) pending.push(join(path, entry.name));
  }
  return { devices, truncated: pending.length > 0 };
}

function readDevice(path: string): Device {
  const [, file] = /^DEVNAME=(.+)$/m.exec(attributeOf(join(path, 'uevent')) ?? '') ?? [];
  return {
    path,
    name: basename(path),
    subsystem: linkNameOf(join(path, 'subsystem')),
    number: attributeOf(join(path, 'dev')),
    file: file === undefined ? undefined : `/dev/${file}`,
  };
}

/** The text of an attribute; a device that goes away while it is looked at has none. */
export function attributeOf(path: string): string | undefined {
  try {
    return readText(path);
  } catch {
    return undefined;
  }
}

/** A directory that goes away while it is looked at has no entries. */
export function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

function linkNameOf(path: string): string {
  try {
    return basename(readlinkSync(path));
  } catch {
    return '';
  }
}

export const namesOf = (path: string): readonly string[] => entriesOf(path).map(({ name }) => name);
