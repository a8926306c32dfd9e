/** What metrics are made of: plain data about this moment, gathered when somebody scrapes. */

/** What the record of a function says. Its counters begin again at zero with each guest, and `generation` goes up. */
export interface RecordSample {
  readonly generation: number;
  readonly reads: number;
  /** Denied ones included; never less than `denied`, so read it later. */
  readonly writes: number;
  readonly denied: number;
  /** Requests for MSI or MSI-X that were refused or failed. */
  readonly failures: number;
  /** Denied writes by the class of the register. */
  readonly deniedByClass: ReadonlyMap<string, number>;
  readonly interrupts: 'none' | 'msi' | 'msix';
  readonly vectors: number;
}

/** A function that has been taken from its host driver. */
export interface FunctionSample {
  readonly sbdf: string;
  readonly state: string;
  readonly domid: number | null;
  /** The address on the guest's bus. */
  readonly vdev: string | null;
  /** The host's driver, before it was hidden. */
  readonly driverBefore: string | null;
  /** The method that a reset would use. */
  readonly resetMethod: string | null;
  /** Null when no guest ever had it. */
  readonly record: RecordSample | null;
}

/** What the connection to xenstored has counted. */
export interface XenstoreSample {
  /** Requests sent, by operation. */
  readonly requests: Readonly<Record<string, number>>;
  /** Those of them that were refused, by operation and errno: `READ ENOENT`. */
  readonly refusals: Readonly<Record<string, number>>;
  readonly events: number;
  readonly transactionRetries: number;
  readonly reconnects: number;
}

/** A guest that is served, or on its way to that. */
export interface GuestSample {
  readonly domid: number;
  /** A side that should have moved has not done so for a long time; the same that `pciback status` tells. */
  readonly isStalled: boolean;
}

export interface MetricsSource {
  /** State of the daemon. */
  readonly supervisor: string;
  functions(): readonly FunctionSample[];
  /** One of them; undefined when it is not hidden (any more). */
  function(sbdf: string): FunctionSample | undefined;
  guests(): readonly GuestSample[];
  xenstore(): XenstoreSample | undefined;
}
