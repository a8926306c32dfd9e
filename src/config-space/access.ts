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

/** One address range of a function, as the host's kernel assigned it. */
export interface Resource {
  /** BAR number 0..5, or 6 for the expansion ROM. A 64-bit BAR has the index of its lower register. */
  readonly index: number;
  readonly kind: 'memory32' | 'memory64' | 'io' | 'rom';
  readonly prefetchable: boolean;
  readonly start: bigint;
  readonly size: bigint;
}
