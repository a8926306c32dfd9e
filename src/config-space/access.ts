/** The widths of a configuration access, in bytes. */
export type AccessSize = 1 | 2 | 4;

/**
 * Raw access to the configuration space of one function. Every access is naturally aligned and inside the accessible
 * space: whoever calls this has checked. Values are unsigned.
 */
export interface ConfigAccess {
  /** Bytes that can be accessed: 256 (conventional) or 4096 (with extended space). */
  readonly length: 256 | 4096;
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}

/**
 * All that a guest's read of a function depends on, beside the hardware: for whoever answers reads without `ConfigFilter.read`, which
 * tells how. The memory is shared, and follows what the guest writes.
 */
export interface ReadTable {
  /** Bytes that can be accessed: 256 or 4096. */
  readonly length: number;
  /** Bits that a read takes from the hardware, for each dword register. */
  readonly live: Uint32Array;
  /** What it shows in the others. */
  readonly shown: Uint32Array;
  /** One element; not 0 while the function is being reset for the guest. */
  readonly resetting: Uint32Array;
  /** One element: successful reads, to be counted. */
  readonly reads: Float64Array;
}

/** One address range of a function, as the host's kernel assigned it. */
export interface Resource {
  /** BAR number 0..5, or 6 for the expansion ROM. A 64-bit BAR has the index of its lower register. */
  readonly index: number;
  readonly kind: 'memory32' | 'memory64' | 'io' | 'rom';
  readonly prefetchable: boolean;
  readonly start: bigint;
  readonly size: bigint;
}
