/**
 * A guest is given memory by the page, so it gets with a BAR smaller than a page whatever else is in that page (XSA-461). Two
 * functions that have BARs in one page cannot be kept apart.
 */
import type { Sbdf } from '../address.ts';
import type { Resource } from '../config-space/access.ts';

/** What Xen grants access to memory by, in bytes (XEN_DOMCTL_iomem_permission takes frame numbers). */
const pageSize = 0x1000n;

interface Range {
  /** In bytes; both are multiples of the size of a page. */
  readonly start: bigint;
  readonly size: bigint;
}

const pagesOf = ({ start, size }: Resource): Range => {
  const first = (start / pageSize) * pageSize;
  return { start: first, size: ((start + size - 1n) / pageSize + 1n) * pageSize - first };
};

/** The pages of a BAR in which none of the other functions has one. */
export function pagesBeside(
  resource: Resource,
  others: readonly { readonly resources: readonly Resource[] }[],
): readonly Range[] {
  const taken = others.flatMap(({ resources }) =>
    resources.filter(({ kind, size }) => kind !== 'io' && size > 0n).map(pagesOf),
  );
  return taken.reduce<readonly Range[]>(
    (left, each) => left.flatMap((range) => without(range, each)),
    [pagesOf(resource)],
  );
}

function without(range: Range, taken: Range): readonly Range[] {
  const [end, takenEnd] = [range.start + range.size, taken.start + taken.size];
  if (taken.start >= end || takenEnd <= range.start) return [range];
  return [
    { start: range.start, size: taken.start - range.start },
    { start: takenEnd, size: end - takenEnd },
  ].filter(({ size }) => size > 0n);
}

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
