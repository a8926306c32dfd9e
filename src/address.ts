/**
 * The address of a PCI function, packed the way Xen's `pci_sbdf_t` packs it, so that it is one number: cheap to
 * compare, usable as a map key, and ready for a hypercall.
 *
 *      31                16 15           8 7        3 2        0
 *     +--------------------+--------------+----------+----------+
 *     |      segment       |     bus      |  device  | function |
 *     +--------------------+--------------+----------+----------+
 *                                         '------- devfn -------'
 */
export type Sbdf = number & { readonly __sbdf: unique symbol };

/** Packs an address. The parts must be in range: segment 0..0xFFFF, bus 0..0xFF, device 0..0x1F, function 0..7. */
export function makeSbdf(segment: number, bus: number, device: number, fn: number): Sbdf {
  return (((segment << 16) | (bus << 8) | (device << 3) | fn) >>> 0) as Sbdf;
}

export const segmentOf = (address: Sbdf): number => address >>> 16;
export const busOf = (address: Sbdf): number => (address >>> 8) & 0xff;
export const deviceOf = (address: Sbdf): number => (address >>> 3) & 0x1f;
export const functionOf = (address: Sbdf): number => address & 7;
/** Device and function as configuration mechanisms and the pciif wire carry them: 0..0xFF. */
export const devfnOf = (address: Sbdf): number => address & 0xff;
/** The address without its function: equal for all functions of one physical slot. */
export const slotOf = (address: Sbdf): number => address >>> 3;

const spelling = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i;

/** Reads `[SSSS:]BB:DD.F` (hex; the segment defaults to 0); undefined when the text is not such an address. */
export function parseSbdf(text: string): Sbdf | undefined {
  const match = spelling.exec(text);
  if (!match) return undefined;
  const [, segment = '0', bus = '', device = '', fn = ''] = match;
  const deviceNumber = Number.parseInt(device, 16);
  if (deviceNumber > 0x1f) return undefined;
  return makeSbdf(Number.parseInt(segment, 16), Number.parseInt(bus, 16), deviceNumber, Number(fn));
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** `0000:03:00.0`, the spelling of sysfs, xl and the `dev-N` keys. */
export function formatSbdf(address: Sbdf): string {
  return `${hex(segmentOf(address), 4)}:${hex(busOf(address), 2)}:${hex(deviceOf(address), 2)}.${functionOf(address)}`;
}

/** `0000:00:01.00`: a guest address in a `vdev-N` key has a two-digit function (Linux xen-pciback writes it so). */
export function formatVdev(address: Sbdf): string {
  return `${hex(segmentOf(address), 4)}:${hex(busOf(address), 2)}:${hex(deviceOf(address), 2)}.${hex(functionOf(address), 2)}`;
}

/** `0000-03-00-0`: how a path component of xenstore spells an address, since `:` and `.` may not stand in a path. */
export function formatXenstoreSbdf(address: Sbdf): string {
  return formatSbdf(address).replace(/[:.]/g, '-');
}

/** Reads a `vdev-N` key: as an SBDF, but the function may have two digits. Undefined when the text is no such address. */
export function parseVdev(text: string): Sbdf | undefined {
  return parseSbdf(text.replace(/\.0([0-7])$/, '.$1'));
}
