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

/** Bits in capabilities that seizing switches off: which capability, which of its 16-bit registers, which bits. */
const switchedOff = [
  [CapabilityId.powerManagement, Pm.control, Pm.pmeEnable],
  [CapabilityId.msi, Msi.control, Msi.enable],
  [CapabilityId.msix, Msix.control, Msix.enable | Msix.functionMask],
] as const;

/**
 * What seizing makes of a function whose registers read `before`; hardware is not touched. Throws HEADER-TYPE when the
 * layout of the header is neither type 0 nor type 1.
 *
 * The function can no longer reach memory nor wake the machine, and uses no message-signalled interrupts; none of them is masked
 * by the function as a whole, as after a reset, or Xen would not assign it (xen/arch/x86/msi.c, pci_reset_msix_state). The rest is left as
 * it is: whether the host's driver left INTx switched off, say, is for the guest to see and for its driver to change.
 */
export function seizedFrom(identity: FunctionIdentity, before: Image): Seized {
  requireKnownLayout(before);
  const config = new Uint8Array(before.length > 256 ? 4096 : 256);
  config.set(before.subarray(0, config.length));

  const clear = (offset: number, bits: number): void =>
    putWord(config, offset, wordAt(config, offset) & ~bits);
  clear(Header.command, Command.master);
  for (const [id, register, bits] of switchedOff) {
    const at = findCapability(config, id);
    if (at !== undefined) clear(at + register, bits);
  }
  const { vendor, device, resources, irq } = identity;
  return { vendor, device, resources, irq, virtualFunction: identity.physicalFunction !== null, config };
}

/** Throws HEADER-TYPE when the layout of the header is neither type 0 nor type 1. */
export function requireKnownLayout(config: Image): void {
  const layout = byteAt(config, Header.headerType) & headerTypeMask;
  if (layout <= 1) return;
  throw new PcibackError(
    'HEADER-TYPE',
    `the configuration header is of type ${layout}`,
    'only functions with a type 0 (device) or type 1 (bridge) header can be exported',
  );
}

/** Seizes a function: brings its hardware to where `seizedFrom` says. Throws HEADER-TYPE before it has touched anything. */
export function seize(hardware: ConfigAccess, identity: FunctionIdentity): Seized {
  const before = readImage(hardware);
  const seized = seizedFrom(identity, before);
  for (let offset = 0; offset < before.length; offset += 2) {
    const value = wordAt(seized.config, offset);
    if (value !== wordAt(before, offset)) hardware.write(offset, 2, value);
  }
  return seized;
}
