import type { ConfigAccess } from '../config-space/access.ts';
import type { ConfigFilter } from '../config-space/filter.ts';

/** Pirqs of one guest for one function: what the operations need of a platform, bound to a domain and an address. */
export interface Pirqs {
  /** A pirq for one message-signalled vector: a number > 0, or a negative errno. `entry` is -1 for MSI. */
  mapMsi(entry: number, tableBase: bigint): number;
  unmap(pirq: number): void;
  /** The pirq of the legacy interrupt; 0 when the function has none. */
  intx(): number;
}

/** A function that a guest has, as far as its requests are concerned. */
export interface ExportedFunction {
  readonly filter: ConfigFilter;
  readonly pirqs: Pirqs;
  /**
   * The function whose command register says whether this one decodes memory: itself, or for a virtual function the physical
   * one (PCIe 9.3.4.1.3); null when it cannot be asked.
   */
  readonly decoder: ConfigAccess | null;
}

/** Finds the function at a guest's address. All three are unsigned 32-bit numbers, as a guest sent them. Must not allocate. */
export type FindFunction = (domain: number, bus: number, devfn: number) => ExportedFunction | undefined;
