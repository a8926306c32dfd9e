/** Who uses a disk: file systems, swap, volumes that are made of it, and guests that have it as theirs. */
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, devicesBelow, namesOf, type Use } from './devices.ts';
import { type DiskTables, readDiskTables, toldOf } from './disk-tables.ts';

/** The users of disks and partitions, and of all that is made of them. */
export function diskUses(root: HostRoot, disks: readonly Device[]): readonly Use[] {
  if (disks.length === 0) return [];
  const tables = readDiskTables(root);
  const seen = new Set<string>();
  return disks.flatMap((disk) => usesOf(root, disk, tables, seen));
}

function usesOf(root: HostRoot, device: Device, tables: DiskTables, seen: Set<string>): readonly Use[] {
  if (seen.has(device.name)) return [];
  seen.add(device.name);
  const usesOfVolume = (name: string): readonly Use[] =>
    devicesAt(root, name).flatMap((volume) => usesOf(root, volume, tables, seen));
  const what = device.file ?? device.name;
  const told = toldOf(tables, device, volumeName(device));
  return [
    ...told.map(({ detail, remedy }) => ({ what, detail, remedy })),
    ...told.flatMap(({ volume }) => (volume === undefined ? [] : usesOfVolume(volume))),
    ...namesOf(join(device.path, 'holders')).flatMap((holder) => [
      heldBy(root, device, holder),
      ...usesOfVolume(holder),
    ]),
    ...cacheUses(device),
    ...headOf(device).flatMap(usesOfVolume),
  ];
}

function heldBy(root: HostRoot, device: Device, holder: string): Use {
  const volume = join(root.sysfs, 'class/block', holder);
  const name = attributeOf(join(volume, 'dm/name'));
  return {
    what: device.file ?? device.name,
    detail: `held by ${name === undefined ? holder : `${name}, ${holder}`}`,
    remedy: name === undefined ? releaseOf(holder) : `dmsetup remove ${name}`,
  };
}

const releaseOf = (holder: string): string =>
  holder.startsWith('bcache') ? `echo 1 > /sys/block/${holder}/bcache/stop` : `mdadm --stop /dev/${holder}`;

/** A cache, unlike the disk behind it, is held by no volume. */
const cacheUses = ({ path, file, name }: Device): readonly Use[] =>
  existsSync(join(path, 'bcache/set'))
    ? [
        {
          what: file ?? name,
          detail: 'a cache of bcache',
          remedy: `echo 1 > /sys/class/block/${name}/bcache/set/stop`,
        },
      ]
    : [];

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
