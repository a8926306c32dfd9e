/**
 * Spellings of an address that other programs print, so that what is copied from them can be pasted here. None of them
 * can be mistaken for xl's `0000:03:00.0`.
 */
import { busOf, deviceOf, functionOf, makeSbdf, segmentOf, type Sbdf } from '../address.ts';
import { isProblem, makePattern, patternSbdf, type Part } from './address-text.ts';
import type { Problem } from './problem.ts';

/** A function named by the bridges above it, which stays the same when buses are numbered anew. */
export interface BridgePath {
  readonly root: Sbdf;
  /** From bridge to bridge: the bus counted from the bridge's secondary bus, and device and function on it. */
  readonly hops: readonly { readonly busOffset: number; readonly device: number; readonly fn: number }[];
}

const spellings: readonly RegExp[] = [
  // libvirt's node device names
  /pci_(?<segment>[0-9a-f]{4})_(?<bus>[0-9a-f]{2})_(?<device>[0-9a-f]{2})_(?<fn>[0-9a-f])/diy,
  // path components of xenstore, as in /libxl/pci/0000-03-00-0
  /(?<segment>[0-9a-f]{4})-(?<bus>[0-9a-f]{2})-(?<device>[0-9a-f]{2})-(?<fn>[0-9a-f])/diy,
  // Qubes OS, qvm-pci
  /(?:(?<segment>[0-9a-f]{4})[_:])?(?<bus>[0-9a-f]{2})_(?<device>[0-9a-f]{2})\.(?<fn>[0-9a-f])/diy,
];

/** Qubes OS 4.2 and later, qvm-pci: `0000_00_08.1-00_00.0` is the first function behind the bridge 0000:00:08.1. */
const hop = /-(?<bus>[0-9a-f]{2})_(?<device>[0-9a-f]{2})\.(?<fn>[0-9a-f])/diy;

/** An address without `*`, or a way to a function, and where it ends in the text. */
export type OtherSpelling =
  | { readonly sbdf: Sbdf; readonly end: number }
  | { readonly path: BridgePath; readonly end: number };

function matchAt(
  spelling: RegExp,
  text: string,
  at: number,
): { sbdf: Sbdf; end: number } | Problem | undefined {
  spelling.lastIndex = at;
  const match = spelling.exec(text);
  if (!match) return undefined;
  const part = (name: string): Part | undefined => {
    const digits = match.groups?.[name];
    return digits === undefined ? undefined : { at: match.indices?.groups?.[name]?.[0] ?? at, digits };
  };
  const [bus, device, fn] = [part('bus'), part('device'), part('fn')];
  if (!bus || !device || !fn) return undefined;
  const pattern = makePattern({ segment: part('segment'), bus, device, fn });
  if (isProblem(pattern)) return pattern;
  const sbdf = patternSbdf(pattern);
  return sbdf === undefined ? undefined : { sbdf, end: spelling.lastIndex };
}

function scanHops(text: string, root: Sbdf, from: number): OtherSpelling | Problem {
  const hops: BridgePath['hops'][number][] = [];
  let end = from;
  for (;;) {
    const next = matchAt(hop, text, end);
    if (!next) break;
    if (isProblem(next)) return next;
    hops.push({ busOffset: busOf(next.sbdf), device: deviceOf(next.sbdf), fn: functionOf(next.sbdf) });
    end = next.end;
  }
  return hops.length === 0 ? { sbdf: root, end } : { path: { root, hops }, end };
}

/** Reads an address in a foreign spelling at `at`; undefined when what stands there looks like none of them. */
export function scanOtherSpelling(text: string, at: number): OtherSpelling | Problem | undefined {
  for (const spelling of spellings) {
    const found = matchAt(spelling, text, at);
    if (found) return isProblem(found) ? found : scanHops(text, found.sbdf, found.end);
  }
  return undefined;
}

/**
 * Follows a path of bridges to the function at its end.
 * @param secondaryBus the bus behind a bridge; undefined when there is no such function or it is no bridge
 * @returns the function's address, or undefined when a bridge of the path is missing
 */
export function followBridgePath(
  { root, hops }: BridgePath,
  secondaryBus: (bridge: Sbdf) => number | undefined,
): Sbdf | undefined {
  let at = root;
  for (const { busOffset, device, fn } of hops) {
    const bus = secondaryBus(at);
    if (bus === undefined || bus + busOffset > 0xff) return undefined;
    at = makeSbdf(segmentOf(at), bus + busOffset, device, fn);
  }
  return at;
}
