import type { Sbdf } from '../address.ts';

/** What placing a function depends on. */
export interface Candidate {
  readonly sbdf: Sbdf;
  /** Base class 0x06: host bridges, PCI-to-PCI bridges and their kin. */
  readonly bridge: boolean;
  /** One that joins a bus to the processors: sub-class 0x00 of those. */
  readonly hostBridge?: boolean;
  readonly virtualFunction: boolean;
}

/** One bus that a guest has to scan, as it stands in a `root-N` key. */
export interface Root {
  readonly segment: number;
  readonly bus: number;
}

/** How the functions of one guest are numbered on the bus that the guest sees. */
export interface Topology {
  readonly kind: TopologyKind;
  /**
   * Gives the function an address on the guest's bus. `requestedDevfn` is the `vdevfn-N` key, 0 for "any".
   * Throws BRIDGE or NO-SLOT, with nothing placed.
   */
  place(candidate: Candidate, requestedDevfn: number): Sbdf;
  /** Puts a function back where an earlier back-end had placed it. */
  occupy(candidate: Candidate, guestAddress: Sbdf): void;
  remove(sbdf: Sbdf): void;
  guestAddressOf(sbdf: Sbdf): Sbdf | undefined;
  /** The buses to publish, in the order in which they are published. */
  roots(): readonly Root[];
}

export type TopologyKind = 'vpci' | 'passthrough';
