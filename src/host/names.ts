/** Names of vendors and devices, from the list that pciutils installs where there is one. */
import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import type { FunctionFacts } from './platform.ts';

export interface Names {
  vendor(vendor: number): string | undefined;
  device(vendor: number, device: number): string | undefined;
}

type Ids = Pick<FunctionFacts, 'vendor' | 'device'>;

/** Where distributions put it. */
export const pciIdsFiles = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
  '/usr/share/pci.ids',
] as const;

/** So that the bundled functions and those of virtual machines have a maker on any machine. */
const commonVendors: Readonly<Record<number, string>> = {
  0x10de: 'NVIDIA',
  0x10ec: 'Realtek',
  0x1022: 'AMD',
  0x1002: 'AMD/ATI',
  0x14e4: 'Broadcom',
  0x144d: 'Samsung',
  0x15b3: 'Mellanox',
  0x1af4: 'Red Hat (virtio)',
  0x1b36: 'Red Hat (QEMU)',
  0x8086: 'Intel',
};

/** So that the bundled functions have a name too; keys as `keyOf` makes them. */
const commonDevices: Readonly<Record<number, string>> = {
  0x10de_0fb9: 'GP107 audio',
  0x10de_1c82: 'GP107 graphics',
  0x10ec_8139: 'RTL8139',
  0x1b36_000c: 'PCI Express root port',
  0x1b36_000d: 'xHCI controller',
  0x1b36_0010: 'NVM Express controller',
  0x8086_10c9: '82576',
  0x8086_10ca: '82576 virtual function',
  0x8086_10d3: '82574L',
  0x8086_2415: "82801AA AC'97",
  0x8086_244e: '82801 PCI bridge',
};

/**
 * Virtio devices are numbered from 0x1040 on by what they are; those that also speak the interface from before version 1 have
 * numbers of their own (Virtual I/O Device 1.2, 4.1.2 and 5).
 */
const virtio = { vendor: 0x1af4, first: 0x1040 } as const;
const virtioTypes: Readonly<Record<number, string>> = {
  1: 'network device',
  2: 'block device',
  3: 'console',
  4: 'entropy source',
  5: 'memory balloon',
  8: 'SCSI host',
  9: '9P transport',
  16: 'GPU',
  18: 'input device',
  19: 'socket device',
  20: 'crypto device',
  26: 'file system',
};
const transitionalTypes: Readonly<Record<number, number>> = {
  0x1000: 1,
  0x1001: 2,
  0x1002: 5,
  0x1003: 3,
  0x1004: 8,
  0x1005: 4,
  0x1009: 9,
};

/**
 * Looks up these functions, reading the first of the files that exists, no further than needed. Without a file
 * a few common ones are still known.
 */
export function loadNames(functions: Iterable<Ids>, files: readonly string[] = pciIdsFiles): Names {
  const found = searchFiles(functions, files);
  return {
    vendor: (vendor) => found.vendors.get(vendor) ?? commonVendors[vendor],
    device: (vendor, device) =>
      found.devices.get(keyOf(vendor, device)) ??
      commonDevices[keyOf(vendor, device)] ??
      (vendor === virtio.vendor
        ? virtioTypes[transitionalTypes[device] ?? device - virtio.first]
        : undefined),
  };
}

/** `Intel 82574L`, with the number in place of what has no name: `Intel 10d4`, `8086:10d4`. */
export function describe({ vendor, device }: Ids, names: Names): string {
  const vendorName = names.vendor(vendor);
  const deviceName = names.device(vendor, device);
  if (vendorName === undefined) return `${hex4(vendor)}:${hex4(device)}`;
  return `${vendorName} ${deviceName ?? hex4(device)}`;
}

const hex4 = (value: number): string => value.toString(16).padStart(4, '0');
const keyOf = (vendor: number, device: number): number => vendor * 0x1_0000 + device;

interface Found {
  readonly vendors: Map<number, string>;
  readonly devices: Map<number, string>;
}

/**
 * The list is sorted by vendor: a line `vvvv  name` and below it, each with a tab before it, `dddd  name`. Lines with two
 * tabs name subsystems; after the vendors come classes, whose lines start with `C`.
 */
function searchFiles(functions: Iterable<Ids>, files: readonly string[]): Found {
  const found: Found = { vendors: new Map(), devices: new Map() };
  const wanted = new Map<number, Set<number>>();
  for (const { vendor, device } of functions) {
    wanted.set(vendor, (wanted.get(vendor) ?? new Set()).add(device));
  }
  const last = Math.max(...wanted.keys());
  let vendor = -1;
  for (const line of linesOfFirst(files)) {
    // Most lines are other makers' devices.
    if (line.startsWith('\t') && !wanted.has(vendor)) continue;
    const [, indent, digits, name = ''] = /^(\t?)([0-9a-f]{4}) {2}(.+)$/.exec(line) ?? [];
    if (digits === undefined) continue;
    const id = Number.parseInt(digits, 16);
    if (indent === '') {
      if (id > last) break;
      vendor = id;
      if (wanted.has(vendor)) found.vendors.set(vendor, name);
    } else if (wanted.get(vendor)?.has(id)) {
      found.devices.set(keyOf(vendor, id), name);
    }
  }
  return found;
}

/** The lines of the first file that can be opened, read as they are asked for. */
function* linesOfFirst(files: readonly string[]): Generator<string, void, undefined> {
  const fd = openFirst(files);
  if (fd === undefined) return;
  try {
    const decoder = new StringDecoder('utf8');
    const chunk = Buffer.alloc(0x1_0000);
    let rest = '';
    for (;;) {
      const length = readSync(fd, chunk);
      const lines = (rest + decoder.write(chunk.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
      if (length === 0) break;
    }
    yield rest;
  } finally {
    closeSync(fd);
  }
}

function openFirst(files: readonly string[]): number | undefined {
  for (const file of files) {
    try {
      return openSync(file, 'r');
    } catch {
      // The next one, or none: names are a convenience.
    }
  }
  return undefined;
}
