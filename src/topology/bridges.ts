import { type Sbdf, busOf, segmentOf } from '../address.ts';

/** What a PCI-to-PCI bridge says of the buses behind it. */
export interface Bridge {
  readonly sbdf: Sbdf;
  readonly secondaryBus: number;
  readonly subordinateBus: number;
}

/**
 * Reads the bus numbers of a type 1 header; undefined for anything that is no PCI-to-PCI bridge, or whose registers (null) cannot be
 * read: nothing behind such a bridge answers either.
 *
 *     0x18   primary | secondary | subordinate | latency      (PCI-to-PCI Bridge Architecture 1.2, 3.2.5)
 */
export function bridgeOf(sbdf: Sbdf, config: Uint8Array | null): Bridge | undefined {
  if (config === null) return undefined;
  const headerType = (config[0x0e] ?? 0) & 0x7f;
  const secondaryBus = config[0x19] ?? 0;
  const subordinateBus = config[0x1a] ?? 0;
  if (headerType !== 1 || secondaryBus === 0) return undefined;
  return { sbdf, secondaryBus, subordinateBus };
}

/** Which functions lie behind which bridges of this host. */
export class BridgeMap {
  readonly #bridges: readonly Bridge[];
  readonly #functions: readonly Sbdf[];

  constructor(functions: readonly { readonly sbdf: Sbdf; readonly config: Uint8Array | null }[]) {
    this.#functions = functions.map(({ sbdf }) => sbdf);
    this.#bridges = functions
      .map(({ sbdf, config }) => bridgeOf(sbdf, config))
      .filter((bridge) => bridge !== undefined);
  }

  functionsBehind(bridge: Sbdf): readonly Sbdf[] {
    const found = this.#bridges.find(({ sbdf }) => sbdf === bridge);
    return found ? this.#functions.filter((sbdf) => isBehind(sbdf, found)) : [];
  }

  bridgesAbove(sbdf: Sbdf): readonly Sbdf[] {
    return this.#bridges.filter((bridge) => isBehind(sbdf, bridge)).map((bridge) => bridge.sbdf);
  }
}

const isBehind = (sbdf: Sbdf, bridge: Bridge): boolean =>
  sbdf !== bridge.sbdf &&
  segmentOf(sbdf) === segmentOf(bridge.sbdf) &&
  busOf(sbdf) >= bridge.secondaryBus &&
  busOf(sbdf) <= bridge.subordinateBus;
