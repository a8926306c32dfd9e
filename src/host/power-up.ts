/** What a host driver and a reset leave in the registers of a function. Pure: one image in, another out. */
import {
  Bar,
  CapabilityId,
  Command,
  ExtendedCapabilityId,
  Header,
  Msi,
  Msix,
  Pcie,
  Pm,
  Status,
} from '../config-space/bits.ts';
import { extendedCapabilities, findCapability } from '../config-space/capabilities.ts';
import { dwordAt, type Image, putWord, wordAt } from '../config-space/image.ts';
import { headerTypeOf } from './identity.ts';

/**
 * The whole configuration space of a function of which `known` is what the host lets us read, as its driver left it when it
 * gave the function up: no bus mastering, no message-signalled interrupts, and INTx usable again where those had replaced it.
 * Of 64 bytes there is no capability list to follow, so none is announced.
 */
export function leftByDriver(known: Image): Image {
  const image = new Uint8Array(spaceOf(known));
  image.set(known.subarray(0, image.length));
  if (known.length <= Header.end) {
    clear(image, Header.status, Status.capabilityList);
    image[Header.capabilityPointer] = 0;
  }
  const msi = findCapability(image, CapabilityId.msi);
  const msix = findCapability(image, CapabilityId.msix);
  let signalled = false;
  if (msi !== undefined) signalled = clear(image, msi + Msi.control, Msi.enable) || signalled;
  if (msix !== undefined) {
    signalled = clear(image, msix + Msix.control, Msix.enable) || signalled;
    clear(image, msix + Msix.control, Msix.functionMask);
  }
  clear(image, Header.command, Command.master | (signalled ? Command.intxDisable : 0));
  return image;
}

/** 4096 bytes for whatever has PCI Express or shows something where only PCI Express has registers, else 256. */
function spaceOf(known: Image): 256 | 4096 {
  const express = known.length > Header.end && findCapability(known, CapabilityId.pciExpress) !== undefined;
  return express || known.subarray(256).some((byte) => byte !== 0) ? 4096 : 256;
}

function clear(image: Image, offset: number, bits: number): boolean {
  const value = wordAt(image, offset);
  putWord(image, offset, value & ~bits);
  return (value & bits) !== 0;
}

/** After a reset a register holds `(value & keep) | set`; both are 0 where they are not given. */
interface Rule {
  readonly at: number;
  readonly size: 2 | 4;
  readonly keep?: number;
  readonly set?: number;
}

/**
 * The registers as they are after a reset of a function that shows `image`: the ones that software has to set up again are
 * back to their defaults, what describes the function stays. Sticky bits are not told apart.
 */
export function afterReset(image: Image): Image {
  const reset = image.slice();
  const view = new DataView(reset.buffer);
  for (const { at, size, keep = 0, set = 0 } of [...headerRules(image), ...capabilityRules(image)]) {
    if (size === 2) view.setUint16(at, (view.getUint16(at, true) & keep) | set, true);
    else view.setUint32(at, (view.getUint32(at, true) & keep) | set, true);
  }
  return reset;
}

function headerRules(image: Image): readonly Rule[] {
  const bridge = headerTypeOf(image) === 1;
  return [
    { at: Header.command, size: 2 },
    { at: Header.status, size: 2, keep: ~Status.writeOneToClear },
    // Cache line size and latency timer; the header type and whether there is a self test stay.
    { at: Header.cacheLineSize, size: 4, keep: 0x80ff_0000 },
    ...barRules(image, bridge ? 2 : 6),
    ...(bridge ? bridgeRules : [{ at: Header.rom, size: 4 } as const]),
    { at: Header.interruptLine, size: 2, keep: 0xff00 },
  ];
}

/** The address goes, what kind of range it is stays (PCI Local Bus 3.0, 6.2.5.1). */
function barRules(image: Image, count: number): readonly Rule[] {
  const rules: Rule[] = [];
  for (let bar = 0; bar < count; bar++) {
    const at = Header.bar0 + 4 * bar;
    const value = dwordAt(image, at);
    const io = (value & Bar.io) !== 0;
    rules.push({ at, size: 4, keep: io ? Bar.ioTypeMask : Bar.memoryTypeMask });
    if (!io && (value & Bar.memory64) !== 0 && bar + 1 < count) {
      rules.push({ at: at + 4, size: 4 });
      bar++;
    }
  }
  return rules;
}

/** What only type 1 has (PCI-to-PCI Bridge 1.2, 3.2.5): windows keep the bits that tell how wide they decode. */
const bridgeRules: readonly Rule[] = [
  { at: 0x18, size: 4 }, // bus numbers, secondary latency timer
  { at: 0x1c, size: 2, keep: 0x0f0f }, // I/O base and limit
  { at: 0x1e, size: 2, keep: ~Status.writeOneToClear }, // secondary status
  { at: 0x20, size: 4, keep: 0x000f_000f }, // memory base and limit
  { at: 0x24, size: 4, keep: 0x000f_000f }, // prefetchable memory base and limit
  { at: 0x28, size: 4 }, // upper halves
  { at: 0x2c, size: 4 },
  { at: 0x30, size: 4 }, // upper halves of I/O base and limit
  { at: Header.bridgeRom, size: 4 },
  { at: 0x3e, size: 2 }, // bridge control
];

/** Relaxed ordering, no snoop, and read requests of 512 bytes: what Device Control starts with (PCIe 4.0, 7.5.3.4). */
const deviceControlDefault = 0x2810;
/** A virtual function has none of these fields (SR-IOV 1.1, 3.5.4), and shows no vendor. */
const deviceControlAfterReset = (image: Image): number =>
  wordAt(image, Header.vendor) === 0xffff ? 0 : deviceControlDefault;
const maxPayloadSize = 0x00e0;
const pmScaleAndReserved = 0x60fc;
const sriov = { control: 8, numberOfFunctions: 0x10 } as const;

function capabilityRules(image: Image): readonly Rule[] {
  const rules: Rule[] = [];
  const at = (id: number, rulesAt: (offset: number) => readonly Rule[]): void => {
    const offset = findCapability(image, id);
    if (offset !== undefined) rules.push(...rulesAt(offset));
  };
  at(CapabilityId.powerManagement, (offset) => [
    { at: offset + Pm.control, size: 2, keep: pmScaleAndReserved },
  ]);
  at(CapabilityId.msi, (offset) => [
    { at: offset + Msi.control, size: 2, keep: ~(Msi.enable | Msi.multipleMessageEnable) },
    ...messageRules(offset, wordAt(image, offset + Msi.control)),
  ]);
  at(CapabilityId.msix, (offset) => [
    { at: offset + Msix.control, size: 2, keep: ~(Msix.enable | Msix.functionMask) },
  ]);
  at(CapabilityId.pciExpress, (offset) => [
    // A function level reset spares the payload size, on which the whole path agrees (PCIe 4.0, 6.6.2).
    { at: offset + Pcie.deviceControl, size: 2, keep: maxPayloadSize, set: deviceControlAfterReset(image) },
    { at: offset + Pcie.deviceStatus, size: 2, keep: ~0xf },
  ]);
  for (const { id, offset } of extendedCapabilities(image)) {
    if (id !== ExtendedCapabilityId.sriov) continue;
    rules.push({ at: offset + sriov.control, size: 2 }, { at: offset + sriov.numberOfFunctions, size: 2 });
  }
  return rules;
}

/**
 * Address, data and mask of MSI, which lie where the control word says (PCI Local Bus 3.0, 6.8.1):
 *
 *     +4 address | +8 upper address, when 64-bit | data (16 bits) | mask, when maskable | pending
 */
function messageRules(offset: number, control: number): readonly Rule[] {
  const wide = (control & (1 << 7)) !== 0;
  const maskable = (control & (1 << 8)) !== 0;
  const data = offset + (wide ? 12 : 8);
  return [
    { at: offset + 4, size: 4 },
    ...(wide ? [{ at: offset + 8, size: 4 } as const] : []),
    { at: data, size: 2 },
    ...(maskable ? [{ at: data + 4, size: 4 } as const] : []),
  ];
}

/** Bits that a one clears: a mask for each byte that has some, by its offset. What else is there stores what is written. */
export function writeOneToClearBits(image: Image): Uint8Array {
  const bits = new Uint8Array(image.length);
  const add = (at: number | undefined, register: number, mask: number): void => {
    if (at !== undefined) putWord(bits, at + register, mask);
  };
  add(0, Header.status, Status.writeOneToClear);
  add(findCapability(image, CapabilityId.powerManagement), Pm.control, Pm.pmeStatus);
  add(findCapability(image, CapabilityId.pciExpress), Pcie.deviceStatus, 0xf);
  return bits;
}
