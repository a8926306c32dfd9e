/**
 * Enhanced allocation (PCI ECN): says, and on some functions decides, which addresses the function decodes. Never writable.
 *
 *     c+2  5..0 number of entries;  type 1 functions have one more dword at c+4
 *     each entry: 2..0 dwords that follow | ... | 31 enable
 */
import { Header, headerTypeMask } from './bits.ts';
import { byteAt } from './image.ts';
import { type Blueprint, type Register, sealed } from './register.ts';

export function enhancedAllocationRegisters(
  at: number,
  { seized: { config } }: Blueprint,
): readonly Register[] {
  const isBridge = (byteAt(config, Header.headerType) & headerTypeMask) === 1;
  let end = at + (isBridge ? 8 : 4);
  for (let entries = byteAt(config, at + 2) & 0x3f; entries > 0 && end < 256; entries--) {
    end += 4 * (1 + (byteAt(config, end) & 7));
  }
  return sealed('Enhanced allocation', at, Math.min(end, 256) - at);
}
