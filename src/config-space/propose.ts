/** From the writes that a guest was denied to the quirks that would let them through, and nothing else. */
import type { Sbdf } from '../address.ts';
import type { AccessSize } from './access.ts';
import type { CompiledFilter } from './compile.ts';
import { widthMask } from './image.ts';
import type { Quirk } from './quirks.ts';
import type { FunctionRecord } from './record.ts';

/**
 * The narrowest quirks for what was denied where a quirk can be had: in registers without a rule, and beside the mask of a
 * quirk, which the new one then takes the place of. Masks have the bits that the guest asked to change, and no others.
 */
export function proposeQuirks(sbdf: Sbdf, table: CompiledFilter, record: FunctionRecord): readonly Quirk[] {
  const proposals: Quirk[] = [];
  for (let offset = 0; offset < table.length; offset += 4) {
    const refused = record.refusedAt(offset);
    if (refused === 0) continue;
    // Bits that are never forwarded (a reset, say) cannot be had either way.
    const wanted = (refused | grantedAt(table, offset)) & ~(table.drops[offset >>> 2] ?? 0);
    proposals.push(...cover(table, offset, 4, wanted).map((range) => ({ sbdf, ...range })));
  }
  return proposals;
}

/** What quirks give of a dword register already. */
const grantedAt = ({ mode }: CompiledFilter, offset: number): number =>
  mode.quirks
    .filter((quirk) => (quirk.offset & ~3) === offset)
    .reduce((bits, quirk) => bits | (quirk.mask << ((quirk.offset & 3) << 3)), 0);

/** The fewest naturally aligned ranges for the bits, as small as they can be. */
function cover(
  table: CompiledFilter,
  offset: number,
  size: AccessSize,
  bits: number,
): readonly Omit<Quirk, 'sbdf'>[] {
  if (bits === 0) return [];
  if (size > 1) {
    const half = size === 4 ? 2 : 1;
    const low = bits & widthMask(half);
    const high = bits >>> (8 * half);
    if (low === 0 || high === 0 || !isOpen(table, offset, size)) {
      return [...cover(table, offset, half, low), ...cover(table, offset + half, half, high)];
    }
  }
  return isOpen(table, offset, size) ? [{ offset, size, mask: bits >>> 0 }] : [];
}

function isOpen({ owner, mode }: CompiledFilter, offset: number, size: number): boolean {
  const isQuirk = (at: number): boolean =>
    mode.quirks.some((quirk) => at >= quirk.offset && at < quirk.offset + quirk.size);
  return Array.from({ length: size }, (_, byte) => offset + byte).every(
    (at) => owner[at] === 0 || isQuirk(at),
  );
}
