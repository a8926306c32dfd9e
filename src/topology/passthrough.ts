import { type Sbdf, busOf, formatSbdf, segmentOf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { BridgeMap } from './bridges.ts';
import { requireExportable } from './exportable.ts';
import type { Candidate, Root, Topology } from './topology.ts';

/**
 * The guest sees every function at its host address. Roots are the buses of functions none of whose bridges is exported
 * too (Linux xen-pciback, passthrough.c).
 */
export class PassthroughTopology implements Topology {
  readonly kind = 'passthrough';
  readonly #functions = new Set<Sbdf>();
  readonly #bridges: BridgeMap;

  constructor(bridges: BridgeMap) {
    this.#bridges = bridges;
  }

  /** A bridge routes to everything behind it, so it goes to a guest only after all of that is there. */
  place(candidate: Candidate): Sbdf {
    const { sbdf } = candidate;
    requireExportable(candidate, this.kind);
    if (candidate.bridge) {
      const missing = this.#bridges.functionsBehind(sbdf).filter((behind) => !this.#functions.has(behind));
      const [first] = missing;
      if (first !== undefined) {
        throw new PcibackError(
          'BRIDGE',
          `${formatSbdf(sbdf)} is a bridge, and ${missing.map(formatSbdf).join(', ')} behind it is not in this guest`,
          'list everything behind a bridge before the bridge itself',
        );
      }
    }
    this.#functions.add(sbdf);
    return sbdf;
  }

  occupy(candidate: Candidate): void {
    this.#functions.add(candidate.sbdf);
  }

  remove(sbdf: Sbdf): void {
    this.#functions.delete(sbdf);
  }

  guestAddressOf(sbdf: Sbdf): Sbdf | undefined {
    return this.#functions.has(sbdf) ? sbdf : undefined;
  }

  roots(): readonly Root[] {
    const roots = new Map<number, Root>();
    for (const sbdf of this.#functions) {
      if (this.#bridges.bridgesAbove(sbdf).some((bridge) => this.#functions.has(bridge))) continue;
      const root = { segment: segmentOf(sbdf), bus: busOf(sbdf) };
      roots.set((root.segment << 8) | root.bus, root);
    }
    return [...roots.values()];
  }
}
