/** Who uses a disk: file systems, swap, volumes that are made of it, and guests that have it as theirs. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, devicesBelow, namesOf, type Use } from './devices.ts';
import { tableOf } from './text.ts';

/** What the kernel tells of all disks. */
interface DiskTables {
  /** Mount points by `major:minor`. */
  readonly mounts: ReadonlyMap<string, readonly string[]>;
  /** Paths of device files. */
  readonly swap: ReadonlySet<string>;
  /** Names of the disks that a mounted btrfs is spread over: its mounts have a number of their own. */
  readonly btrfs: ReadonlySet<string>;
  /** Domain and virtual disk by `major:minor`. */
  readonly exported: ReadonlyMap<string, { readonly domid: string; readonly disk: string }>;
}

function readDiskTables({ sysfs, proc }: HostRoot): DiskTables {
  return {
    // This process may live in a mount namespace of its own, while the first one has what the system mounts.
    mounts: mountPoints(['1', 'self'].flatMap((pid) => tableOf(join(proc, pid, 'mountinfo')))),
    swap: new Set(tableOf(join(proc, 'swaps')).map(([file = '']) => unescape(file))),
    btrfs: new Set(
      namesOf(join(sysfs, 'fs/btrfs')).flatMap((id) => namesOf(join(sysfs, 'fs/btrfs', id, 'devices'))),
    ),
    exported: exportedDisks(sysfs),
  };
}

/** The third word is major:minor, the fifth the mount point (Linux Documentation/filesystems/proc.rst, 3.5). */
function mountPoints(mountinfo: readonly (readonly string[])[]): Map<string, readonly string[]> {
  const points = new Map<string, readonly string[]>();
  for (const [, , number = '', , point = ''] of mountinfo) {
    points.set(number, [...new Set([...(points.get(number) ?? []), unescape(point)])]);
  }
  return points;
}

/** Blanks, newlines and backslashes are octal in these tables. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Linux's block back-end holds what it exports without a mark on the disk; `physical_device` is in hex. */
function exportedDisks(sysfs: string): DiskTables['exported'] {
  const backends = join(sysfs, 'bus/xen-backend/devices');
  const exported = new Map<string, { domid: string; disk: string }>();
  for (const name of namesOf(backends)) {
    const [, domid, disk] = /^vbd-(\d+)-(\d+)$/.exec(name) ?? [];
    const number = attributeOf(join(backends, name, 'physical_device'));
    if (domid === undefined || disk === undefined || number === undefined) continue;
    exported.set(
      number
        .split(':')
        .map((part) => Number.parseInt(part, 16))
        .join(':'),
      { domid, disk },
    );
  }
  return exported;
}

/** The users of disks and partitions, and of all that is made of them. */
export function diskUses(root: HostRoot, disks: readonly Device[]): readonly Use[] {
  const tables = readDiskTables(root);
  const seen = new Set<string>();
  return disks.flatMap((disk) => usesOf(root, disk, tables, seen));
}

function usesOf(root: HostRoot, device: Device, tables: DiskTables, seen: Set<string>): readonly Use[] {
  if (seen.has(device.name)) return [];
  seen.add(device.name);
  return [
    ...directUses(device, tables),
    ...namesOf(join(device.path, 'holders')).flatMap((holder) => {
      const held = devicesAt(root, holder).flatMap((volume) => usesOf(root, volume, tables, seen));
      return [heldBy(root, device, holder), ...held];
    }),
    ...headOf(device).flatMap((head) =>
      devicesAt(root, head).flatMap((disk) => usesOf(root, disk, tables, seen)),
    ),
  ];
}

function directUses(device: Device, tables: DiskTables): readonly Use[] {
  const file = device.file ?? device.name;
  const files = [file, `/dev/mapper/${volumeName(device)}`];
  const guest = tables.exported.get(device.number ?? '');
  return [
    ...(tables.mounts.get(device.number ?? '') ?? []).map((point) => mountedAt(file, point)),
    ...(files.some((name) => tables.swap.has(name))
      ? [{ what: file, detail: 'swap space', remedy: `swapoff ${file}` }]
      : []),
    ...(tables.btrfs.has(device.name)
      ? [{ what: file, detail: 'part of a mounted btrfs', remedy: `unmount the btrfs on ${file}` }]
      : []),
    ...(guest
      ? [
          {
            what: file,
            detail: `a disk of domain ${guest.domid}`,
            remedy: `xl block-detach ${guest.domid} ${guest.disk}`,
          },
        ]
      : []),
  ];
}

const mountedAt = (what: string, point: string): Use => ({
  what,
  detail: `mounted at ${point}`,
  remedy: point === '/' ? 'dom0 runs from it: choose another function' : `umount ${point}`,
});

function heldBy(root: HostRoot, device: Device, holder: string): Use {
  const volume = join(root.sysfs, 'class/block', holder);
  const name = attributeOf(join(volume, 'dm/name'));
  return {
    what: device.file ?? device.name,
    detail: `held by ${name === undefined ? holder : `${name}, ${holder}`}`,
    remedy: name === undefined ? `mdadm --stop /dev/${holder}` : `dmsetup remove ${name}`,
  };
}

const volumeName = ({ path, name }: Device): string => attributeOf(join(path, 'dm/name')) ?? name;

/** A disk by its name, and its partitions. */
function devicesAt({ sysfs }: HostRoot, name: string): readonly Device[] {
  try {
    const { devices } = devicesBelow(realpathSync(join(sysfs, 'class/block', name)));
    return devices.filter(({ subsystem }) => subsystem === 'block');
  } catch {
    return [];
  }
}

/** A namespace that more than one controller may reach is a disk elsewhere; a controller has a hidden path to it. */
function headOf({ name }: Device): readonly string[] {
  const [, subsystem, namespace] = /^(nvme\d+)c\d+(n\d+)$/.exec(name) ?? [];
  return subsystem === undefined ? [] : [`${subsystem}${namespace}`];
}
