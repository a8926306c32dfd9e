/**
 * A guest is given memory by the page, so it gets with a BAR smaller than a page whatever else is in that page (XSA-461). Two
 * functions that have BARs in one page cannot be kept apart.
 */
import type { Sbdf } from '../address.ts';
import type { Resource } from '../config-space/access.ts';

/** What Xen grants access to memory by, in bytes (XEN_DOMCTL_iomem_permission takes frame numbers). */
const pageSize = 0x1000n;

/** A page in which two functions have BARs, told from the side of one of them. */
export interface SharedPage {
  readonly sbdf: Sbdf;
  /** BAR number 0..5, or 6 for the expansion ROM. */
  readonly bar: number;
  readonly other: { readonly sbdf: Sbdf; readonly bar: number };
  /** Address of the first page that they share. */
  readonly page: bigint;
}

/** The pages that functions share with each other, each told from both sides. I/O ports are granted one by one. */
export function sharedPages(
  functions: readonly { readonly sbdf: Sbdf; readonly resources: readonly Resource[] }[],
): readonly SharedPage[] {
  const bars = functions
    .flatMap(({ sbdf, resources }) =>
      resources
        .filter(({ kind, size }) => kind !== 'io' && size > 0n)
        .map(({ index, start, size }) => ({
          sbdf,
          bar: index,
          first: start / pageSize,
          last: (start + size - 1n) / pageSize,
        })),
    )
    .toSorted((a, b) => (a.first < b.first ? -1 : Number(a.first > b.first)));

  const found: SharedPage[] = [];
  for (const [position, one] of bars.entries()) {
    for (let next = position + 1; ; next++) {
      const other = bars[next];
      if (!other || other.first > one.last) break;
      if (other.sbdf === one.sbdf) continue;
      const page = other.first * pageSize;
      found.push({ sbdf: one.sbdf, bar: one.bar, other: { sbdf: other.sbdf, bar: other.bar }, page });
      found.push({ sbdf: other.sbdf, bar: other.bar, other: { sbdf: one.sbdf, bar: one.bar }, page });
    }
  }
  return found;
}
