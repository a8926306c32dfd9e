import { makeSbdf, type Sbdf } from '../address.ts';
import type { ConfigSpace } from './config.ts';
import { enumerateIfPresent, type GuestFunction } from './enumerate.ts';

/** A bus that the back-end published in a `root-K` key. */
export interface RootBus {
  readonly segment: number;
  readonly bus: number;
}

/** What a front-end assumes when the back-end publishes no roots. */
export const defaultRoot: RootBus = { segment: 0, bus: 0 };

/** Reads a `root-K` key, `%04x:%02x`; undefined when it is malformed. */
export function parseRoot(text: string | undefined): RootBus | undefined {
  const match = /^([0-9a-f]{1,4}):([0-9a-f]{1,2})$/i.exec(text ?? '');
  if (!match) return undefined;
  return { segment: Number.parseInt(match[1] ?? '', 16), bus: Number.parseInt(match[2] ?? '', 16) };
}

/**
 * Finds every function on the root buses and on the buses behind their bridges. On a root all 256 addresses are probed, as
 * Linux's pcifront does: a guest's bus may have slots without a function 0. `known` addresses are skipped, so that a
 * rescan reads only what is new.
 */
export function scanBuses(
  roots: readonly RootBus[],
  configOf: (address: Sbdf) => ConfigSpace,
  known: ReadonlyMap<Sbdf, GuestFunction> = new Map(),
): GuestFunction[] {
  const found: GuestFunction[] = [];
  const visited = new Set<number>();
  const pending = [...roots];
  for (let root = pending.shift(); root; root = pending.shift()) {
    const busKey = (root.segment << 8) | root.bus;
    if (visited.has(busKey)) continue;
    visited.add(busKey);
    for (let devfn = 0; devfn < 0x100; devfn += 1) {
      const address = makeSbdf(root.segment, root.bus, devfn >>> 3, devfn & 7);
      const fn = known.get(address) ?? enumerateIfPresent(configOf(address));
      if (!fn) continue;
      if (!known.has(address)) found.push(fn);
      pending.push(...busBehind(root, fn));
    }
  }
  return found;
}

/** The secondary bus of a bridge, if its number makes sense: bus numbers grow downstream (PCI-to-PCI Bridge 1.2, 3.2.5.3). */
function busBehind(root: RootBus, { busesBehind }: GuestFunction): RootBus[] {
  if (!busesBehind || busesBehind.secondary <= root.bus) return [];
  return [{ segment: root.segment, bus: busesBehind.secondary }];
}
