/** The devices that dom0's drivers have made of a function: its disks, interfaces, terminals ... */
import { type Dirent, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
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
 * All devices in a directory of sysfs and below, itself included: buses of every kind, and the functions of PCI domains that the
 * driver of a function has made (VMD). Links are not followed. No controller has as many as 20000 directories: the limit is a
 * guard.
 */
export const devicesBelow = (directory: string, limit = 20_000): DevicesBelow =>
  walk(directory, () => [], limit);

/** The same, with what the kernel keeps elsewhere but takes away along with a device. */
export const devicesThatVanishWith = (root: HostRoot, directory: string, limit = 20_000): DevicesBelow =>
  walk(directory, (path, device, entries) => elsewhere(root, path, device, entries), limit);

/** Directories that belong to a device without being below it. */
type Follow = (path: string, device: Device, entries: readonly Dirent[]) => readonly string[];

function walk(directory: string, follow: Follow, limit: number): DevicesBelow {
  const devices: Device[] = [];
  const seen = new Set<string>();
  const pending = [directory];
  while (seen.size < limit) {
    const path = pending.pop();
    if (path === undefined) return { devices, truncated: false };
    if (seen.has(path)) continue;
    seen.add(path);
    const entries = entriesOf(path);
    for (const entry of entries) if (entry.isDirectory()) pending.push(join(path, entry.name));
    if (!entries.some(({ name }) => name === 'subsystem')) continue;
    const device = readDevice(path);
    devices.push(device);
    pending.push(...follow(path, device, entries));
  }
  return { devices, truncated: pending.length > 0 };
}

/**
 * Virtual functions lie beside their physical function; the namespaces of an NVMe controller lie in its subsystem, since other
 * controllers may reach them too; and the driver core unbinds the consumers of a device link along with its supplier (Linux
 * drivers/base/core.c, device_links_unbind_consumers): the ports that a USB4 host router makes are such.
 */
function elsewhere(
  { sysfs }: HostRoot,
  path: string,
  device: Device,
  entries: readonly Dirent[],
): readonly string[] {
  const links = entries.flatMap(({ name }) => {
    if (/^virtfn\d+$/.test(name)) return placeOf(join(path, name));
    return name.startsWith('consumer:') ? consumer(join(path, name)) : [];
  });
  return device.subsystem === 'nvme' ? [...links, ...nvmeSubsystems(sysfs, device)] : links;
}

function nvmeSubsystems(sysfs: string, { path, name }: Device): readonly string[] {
  const all = join(sysfs, 'class/nvme-subsystem');
  return namesOf(all).flatMap((each) =>
    placeOf(join(all, each, name)).includes(path) ? placeOf(join(all, each)) : [],
  );
}

/** The driver core does not act on every link. */
function consumer(link: string): readonly string[] {
  const isTracked =
    attributeOf(join(link, 'status')) !== 'not tracked' && attributeOf(join(link, 'sync_state_only')) !== '1';
  return isTracked ? placeOf(join(link, 'consumer')) : [];
}

/** Where a link leads; nowhere when what it names goes away while it is looked at. */
function placeOf(link: string): readonly string[] {
  try {
    return [realpathSync(link)];
  } catch {
    return [];
  }
}

function readDevice(path: string): Device {
  const [, file] = /^DEVNAME=(.+)$/m.exec(attributeOf(join(path, 'uevent')) ?? '') ?? [];
  return {
    path,
    name: basename(path),
    subsystem: linkNameOf(join(path, 'subsystem')) ?? '',
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
export function entriesOf(path: string): readonly Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** The name of what a link points to. */
export function linkNameOf(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

export const namesOf = (path: string): readonly string[] => entriesOf(path).map(({ name }) => name);
