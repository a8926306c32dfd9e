/**
 * Whether a function answers. A read that nothing answers gives ones (PCI Local Bus 3.0, 6.1), some bridges give zeroes: none of
 * that is data, and nothing may be concluded from it.
 */
import { Header } from './bits.ts';
import { byteAt, dwordAt, type Image } from './image.ts';

const ones = 0xffff_ffff;

/** IDs that no function has (Linux drivers/pci/probe.c, pci_bus_generic_read_dev_vendor_id); those of a virtual one are all ones. */
const noIds: ReadonlySet<number> = new Set([0x0000_ffff, 0xffff_0000]);

/** Of a function that is asked to wait longer after a reset (PCIe 4.0, 2.3.2). */
const askAgain = 0xffff_0001;

/** Whether these registers, at least 64 bytes of them, were read from a function. */
export function answers(config: Image): boolean {
  const ids = dwordAt(config, Header.vendor);
  if (noIds.has(ids) || ids === askAgain) return false;
  if (config.subarray(0, Header.end).every((byte) => byte === 0)) return false;
  return dwordAt(config, Header.classAndRevision) !== ones && byteAt(config, Header.headerType) !== 0xff;
}
