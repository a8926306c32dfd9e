/** The two lists of capabilities, walked as they were when the function was seized. */
import { Header, Status } from './bits.ts';
import { byteAt, dwordAt, type Image, wordAt } from './image.ts';

export interface Capability {
  readonly id: number;
  readonly offset: number;
}

/**
 * The capability list (PCI Local Bus 3.0, 6.7), in list order. A list is only as good as the function that shows it: a
 * pointer into the header or to a place that was visited already ends the walk, so it takes at most 48 steps.
 */
export function standardCapabilities(config: Image): readonly Capability[] {
  if ((wordAt(config, Header.status) & Status.capabilityList) === 0) return [];
  const found = new Map<number, Capability>();
  let offset = byteAt(config, Header.capabilityPointer) & 0xfc;
  while (offset >= Header.end && !found.has(offset)) {
    const id = byteAt(config, offset);
    if (id === 0xff) break;
    found.set(offset, { id, offset });
    offset = byteAt(config, offset + 1) & 0xfc;
  }
  return [...found.values()];
}

/** The extended capability list (PCIe 4.0, 7.6), in list order: from 0x100, each header pointing to the next. */
export function extendedCapabilities(config: Image): readonly Capability[] {
  const found = new Map<number, Capability>();
  let offset = 0x100;
  while (offset >= 0x100 && offset < config.length && !found.has(offset)) {
    const header = dwordAt(config, offset);
    if (header === 0 || header === 0xffff_ffff) break;
    found.set(offset, { id: header & 0xffff, offset });
    offset = (header >>> 20) & 0xffc;
  }
  return [...found.values()];
}

/** Offset of the first capability with this identifier. */
export function findCapability(config: Image, id: number): number | undefined {
  return standardCapabilities(config).find((capability) => capability.id === id)?.offset;
}
