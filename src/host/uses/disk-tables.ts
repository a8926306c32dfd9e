/** What the kernel tells of all disks: what is mounted, swapped to, and held in a way that no disk shows. */
import { readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, namesOf, type Use } from './devices.ts';
import { formatNumber } from './processes.ts';
import { tableOf } from './text.ts';

/** One use of a disk that is told elsewhere than at the disk. */
interface Told extends Omit<Use, 'what'> {
  /** A volume that is made of the disk, and may be used in turn. */
  readonly volume?: string;
}

/** By `major:minor` or the path of the device file, whichever the kernel tells. */
export type DiskTables = ReadonlyMap<string, readonly Told[]>;

/** Everything that is told of one disk. */
export const toldOf = (tables: DiskTables, { number, file, name }: Device, volume: string): readonly Told[] =>
  [...new Set([number, file ?? name, `/dev/mapper/${volume}`, blockKey(name)])].flatMap((key) =>
    key === undefined ? [] : (tables.get(key) ?? []),
  );

/** How a disk that is told of by its kernel name alone is found. */
const blockKey = (name: string): string => `block ${name}`;

export function readDiskTables(root: HostRoot): DiskTables {
  const tables = new Map<string, Told[]>();
  const readers = [mounts, swaps, btrfs, blockBackends, loops, compressedMemory, targets, pools];
  for (const [key, told] of readers.flatMap((read) => read(root))) {
    const known = tables.get(key) ?? [];
    if (!known.some(({ detail }) => detail === told.detail)) tables.set(key, [...known, told]);
  }
  return tables;
}

type Row = readonly [key: string, told: Told];

/**
 * The third word is major:minor, the fifth the mount point; after a dash follow the file system, its source and its options (Linux
 * Documentation/filesystems/proc.rst, 3.5). A file system over several disks has a number of its own, and names them there; so
 * does one whose journal lies on a disk of its own.
 */
const mounts = (root: HostRoot): readonly Row[] =>
  mountTables(root).flatMap(([, , number = '', , point = '', ...more]) => {
    const [type, source = '', options = ''] = more.slice(more.indexOf('-') + 1);
    const named = [...source.split(':'), ...options.split(',').map((option) => option.replace(/^\w+=/, ''))];
    // What a btrfs is spread over is told elsewhere.
    const files = type === 'btrfs' ? [] : named.map(unescape).filter((name) => name.startsWith('/dev/'));
    const at = unescape(point);
    const remedy = at === '/' ? 'dom0 runs from it: choose another function' : `umount ${at}`;
    return [number, ...files].map((key): Row => [key, { detail: `mounted at ${at}`, remedy }]);
  });

/**
 * The tables of this process, of the first one, and of every other one with a mount namespace of its own: a container may have
 * mounted what no one else sees.
 */
function mountTables({ proc }: HostRoot): readonly (readonly string[])[] {
  const namespaces = new Map<string, string>();
  for (const pid of namesOf(proc).filter((name) => /^\d+$/.test(name))) {
    const namespace = linkText(join(proc, pid, 'ns/mnt'));
    if (namespace !== undefined && !namespaces.has(namespace)) namespaces.set(namespace, pid);
  }
  const pids = new Set(['1', 'self', ...namespaces.values()]);
  return [...pids].flatMap((pid) => tableOf(join(proc, pid, 'mountinfo')));
}

function linkText(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Blanks, newlines and backslashes are octal in these tables. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

const swaps = ({ proc }: HostRoot): readonly Row[] =>
  tableOf(join(proc, 'swaps')).map(([file = '']): Row => {
    const path = unescape(file);
    return [path, { detail: 'swap space', remedy: `swapoff ${path}` }];
  });

/** The mounts of a btrfs have a number of their own. */
const btrfs = ({ sysfs }: HostRoot): readonly Row[] =>
  namesOf(join(sysfs, 'fs/btrfs')).flatMap((id) =>
    namesOf(join(sysfs, 'fs/btrfs', id, 'devices')).map((name): Row => [
      blockKey(name),
      { detail: 'part of a mounted btrfs', remedy: `unmount the btrfs on /dev/${name}` },
    ]),
  );

/** Linux's block back-end holds what it exports without a mark on the disk; `physical_device` is in hex. */
function blockBackends({ sysfs }: HostRoot): readonly Row[] {
  const backends = join(sysfs, 'bus/xen-backend/devices');
  return namesOf(backends).flatMap((name): readonly Row[] => {
    const [, domid, disk] = /^vbd-(\d+)-(\d+)$/.exec(name) ?? [];
    const number = attributeOf(join(backends, name, 'physical_device'));
    if (domid === undefined || disk === undefined || number === undefined) return [];
    const key = number
      .split(':')
      .map((part) => Number.parseInt(part, 16))
      .join(':');
    return [[key, { detail: `a disk of domain ${domid}`, remedy: `xl block-detach ${domid} ${disk}` }]];
  });
}

const loops = ({ sysfs }: HostRoot): readonly Row[] =>
  namesOf(join(sysfs, 'class/block')).flatMap((name) =>
    backing(join(sysfs, 'class/block', name, 'loop/backing_file'), {
      detail: `held by ${name}`,
      remedy: `losetup --detach /dev/${name}`,
      volume: name,
    }),
  );

const compressedMemory = ({ sysfs }: HostRoot): readonly Row[] =>
  namesOf(join(sysfs, 'class/block')).flatMap((name) =>
    backing(join(sysfs, 'class/block', name, 'backing_dev'), {
      detail: `held by ${name}`,
      remedy: `echo 1 > /sys/block/${name}/reset`,
      volume: name,
    }),
  );

/** Disks that the kernel itself offers to others, by SCSI or NVMe over whatever network. */
function targets({ sysfs }: HostRoot): readonly Row[] {
  const config = join(sysfs, 'kernel/config');
  const below = (directory: string): readonly string[] =>
    namesOf(directory).map((name) => join(directory, name));
  const scsi = below(join(config, 'target/core')).flatMap(below);
  const nvme = below(join(config, 'nvmet/subsystems'));
  const named = [
    ...scsi.map((path) => [path, 'udev_path', `targetcli /backstores delete ${basename(path)}`] as const),
    ...nvme
      .flatMap((path) => [...below(join(path, 'namespaces')), join(path, 'passthru')])
      .map((path) => [path, 'device_path', `echo 0 > ${path}/enable`] as const),
  ];
  return named.flatMap(([path, attribute, remedy]) =>
    backing(join(path, attribute), { detail: `offered to others as ${basename(path)}`, remedy }),
  );
}

/** ZFS leaves no trace at a disk but what udev has found on it. */
function pools({ sysfs, proc, run }: HostRoot): readonly Row[] {
  const imported = run === undefined ? [] : namesOf(join(proc, 'spl/kstat/zfs'));
  if (imported.length === 0 || run === undefined) return [];
  return namesOf(join(sysfs, 'class/block')).flatMap((name): readonly Row[] => {
    const number = attributeOf(join(sysfs, 'class/block', name, 'dev'));
    const found = attributeOf(join(run, 'udev/data', `b${number}`))?.split('\n') ?? [];
    const [, pool] = /^E:ID_FS_LABEL=(.+)$/m.exec(found.join('\n')) ?? [];
    if (!found.includes('E:ID_FS_TYPE=zfs_member')) return [];
    if (pool !== undefined && !imported.includes(pool)) return [];
    const called = pool ?? imported.join(' or ');
    return [
      [
        blockKey(name),
        { detail: `part of the ZFS pool ${called}`, remedy: `zpool export ${pool ?? 'POOL'}` },
      ],
    ];
  });
}

/** What an attribute names by the path of a device file, which may be a link with another name. */
function backing(attribute: string, told: Told): readonly Row[] {
  const path = attributeOf(attribute);
  if (path === undefined || !path.startsWith('/')) return [];
  const number = blockNumberAt(path);
  return [[path, told], ...(number === undefined ? [] : [[number, told] as const])];
}

function blockNumberAt(path: string): string | undefined {
  try {
    const status = statSync(path);
    return status.isBlockDevice() ? formatNumber(status.rdev) : undefined;
  } catch {
    return undefined;
  }
}
