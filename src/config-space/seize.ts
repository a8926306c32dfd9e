/**
 * Taking a function in hand. Its registers are read once, when it is seized, and everything that the filter ever decides
 * on - where its capabilities and tables lie, which ranges it decodes - is what was read then: a guest can influence a
 * function, and so what it says of itself later (XSA-337).
 */
import { PcibackError } from '../errors.ts';
import type { ConfigAccess, Resource } from './access.ts';
import { CapabilityId, Command, Header, headerTypeMask, Msi, Msix, Pm } from './bits.ts';
import { findCapability } from './capabilities.ts';
import { byteAt, type Image, putWord, readImage, wordAt } from './image.ts';

/** What the host knows of a function beyond its registers. */
export interface FunctionIdentity {
  /** The host's own idea of the IDs: a virtual function's registers read 0xFFFF (PCIe 9.3.4.1.1). */
  readonly vendor: number;
  readonly device: number;
  readonly resources: readonly Resource[];
  /** The host's number for the legacy interrupt; 0 when the function has none. */
  readonly irq: number;
  /** Address of the physical function when this is an SR-IOV virtual function. */
  readonly physicalFunction: number | null;
}

/** A seized function. Plain data: it crosses threads and is stored. */
export interface Seized {
  readonly vendor: number;
  readonly device: number;
  readonly resources: readonly Resource[];
  readonly irq: number;
  readonly virtualFunction: boolean;
  /** All 256 or 4096 bytes, as seizing leaves them. */
  readonly config: Image;
}

/** Registers that seizing may change. */
const changed = (config: Image): readonly number[] => [
  Header.command,
  ...registerOf(config, CapabilityId.powerManagement, Pm.control),
  ...registerOf(config, CapabilityId.msi, Msi.control),
  ...registerOf(config, CapabilityId.msix, Msix.control),
];

function registerOf(config: Image, id: number, register: number): readonly number[] {
  const at = findCapability(config, id);
  return at === undefined ? [] : [at + register];
}

/**
 * What seizing makes of a function whose registers read `before`; hardware is not touched. Throws HEADER-TYPE when the
 * layout of the header is neither type 0 nor type 1.
 *
 * The function can no longer reach memory or wake the machine, and it signals nothing. A driver that leaves a function
 * with MSI on is taken to have switched INTx off with it, and this is undone with it, as the driver would have.
 */
export function seizedFrom(identity: FunctionIdentity, before: Image): Seized {
  const layout = byteAt(before, Header.headerType) & headerTypeMask;
  if (layout > 1) {
    throw new PcibackError(
      'HEADER-TYPE',
      `the configuration header is of type ${layout}`,
      'only functions with a type 0 (device) or type 1 (bridge) header can be exported',
    );
  }
  const config = new Uint8Array(before.length > 256 ? 4096 : 256);
  config.set(before.subarray(0, config.length));

  let signals = false;
  const clear = (id: number, register: number, bits: number): boolean => {
    const at = findCapability(config, id);
    if (at === undefined) return false;
    const value = wordAt(config, at + register);
    putWord(config, at + register, value & ~bits);
    return (value & bits) !== 0;
  };
  signals = clear(CapabilityId.msi, Msi.control, Msi.enable) || signals;
  signals = clear(CapabilityId.msix, Msix.control, Msix.enable) || signals;
  clear(CapabilityId.powerManagement, Pm.control, Pm.pmeEnable);

  const command = wordAt(config, Header.command) & ~(signals ? Command.intxDisable : 0);
  putWord(config, Header.command, command & ~Command.master);
  const { vendor, device, resources, irq } = identity;
  return { vendor, device, resources, irq, virtualFunction: identity.physicalFunction !== null, config };
}

/** Seizes a function: brings its hardware to where `seizedFrom` says. Throws HEADER-TYPE before it has touched anything. */
export function seize(hardware: ConfigAccess, identity: FunctionIdentity): Seized {
  const before = readImage(hardware);
  const seized = seizedFrom(identity, before);
  for (const offset of changed(before)) {
    const value = wordAt(seized.config, offset);
    if (value !== wordAt(before, offset)) hardware.write(offset, 2, value);
  }
  return seized;
}
