/**
 * Extended capabilities (PCIe 4.0, 7.6 onwards). None has rules of its own. Some are never writable, in any mode: they make
 * new functions, move what a function decodes, or decide how its requests are routed and translated, and so reach beyond the
 * function that was given to the guest.
 */
import { ExtendedCapabilityId as Id } from './bits.ts';
import type { Capability } from './capabilities.ts';
import { byteAt, dwordAt, type Image } from './image.ts';
import { type Blueprint, register, type Register, sealed, stable } from './register.ts';

interface ExtendedCapability {
  readonly name: string;
  /** Bytes that are sealed, header included; absent when the capability is open. */
  readonly sealedBytes?: (config: Image, at: number) => number;
}

/** Header, then a capability and a control register for each BAR: how many, the first control register says. */
const resizableBarBytes = (config: Image, at: number): number =>
  4 + 8 * Math.min(Math.max((byteAt(config, at + 8) >>> 5) & 7, 1), 6);

/** The egress control vector, when there is one, has a bit for each port or function group; 0 stands for 256. */
function acsBytes(config: Image, at: number): number {
  const capabilities = dwordAt(config, at + 4);
  if ((capabilities & (1 << 5)) === 0) return 8;
  return 8 + 4 * Math.ceil(((capabilities >>> 8) & 0xff || 256) / 32);
}

const known: Readonly<Record<number, ExtendedCapability>> = {
  0x0001: { name: 'Advanced error reporting' },
  0x0002: { name: 'Virtual channel' },
  0x0003: { name: 'Device serial number' },
  0x0004: { name: 'Power budgeting' },
  0x0009: { name: 'Virtual channel' },
  0x000b: { name: 'Vendor-specific' },
  [Id.acs]: { name: 'Access control services', sealedBytes: acsBytes },
  0x000e: { name: 'Alternative routing-ID' },
  [Id.ats]: { name: 'Address translation services', sealedBytes: () => 0x08 },
  [Id.sriov]: { name: 'SR-IOV', sealedBytes: () => 0x40 },
  0x0012: { name: 'Multicast' },
  [Id.pri]: { name: 'Page request', sealedBytes: () => 0x10 },
  [Id.resizableBar]: { name: 'Resizable BAR', sealedBytes: resizableBarBytes },
  0x0016: { name: 'Dynamic power allocation' },
  0x0017: { name: 'TPH requester' },
  0x0018: { name: 'Latency tolerance reporting' },
  0x0019: { name: 'Secondary PCI Express' },
  [Id.pasid]: { name: 'PASID', sealedBytes: () => 0x08 },
  0x001d: { name: 'Downstream port containment' },
  0x001e: { name: 'L1 PM substates' },
  0x001f: { name: 'Precision time measurement' },
  0x0023: { name: 'Designated vendor-specific' },
  [Id.vfResizableBar]: { name: 'VF resizable BAR', sealedBytes: resizableBarBytes },
  0x0025: { name: 'Data link feature' },
  0x0026: { name: 'Physical layer 16 GT/s' },
  0x0027: { name: 'Lane margining' },
};

export function extendedRegisters({ id, offset }: Capability, blueprint: Blueprint): readonly Register[] {
  const { name, sealedBytes } = known[id] ?? {
    name: `Extended capability 0x${id.toString(16).padStart(4, '0')}`,
  };
  if (!sealedBytes) {
    const header = stable(name, offset, 4, blueprint);
    if (id !== 0x0001) return [header];
    return [
      header,
      register('Uncorrectable error status', offset + 4, 4, { clears: 0xffff_ffff }),
      register('Correctable error status', offset + 16, 4, { clears: 0xffff_ffff }),
    ];
  }
  const { config } = blueprint.seized;
  return sealed(name, offset, Math.min(sealedBytes(config, offset), config.length - offset));
}
