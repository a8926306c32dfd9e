/** What the programs of the ring benchmark tell each other. */

export interface GuestChannel {
  readonly ref: number;
  readonly port: number;
}

export interface GuestReport {
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  /** From request to answer, in microseconds. */
  readonly median: number;
  readonly p99: number;
  /** Requests that were not answered within two seconds. */
  readonly lost: number;
}

export interface ServerTask extends GuestChannel {
  readonly directory: string;
  readonly domid: number;
  /** Whether the ring answers reads by itself, or has each emitted like a request that something has to be decided on. */
  readonly plain: boolean;
}

export interface ServerReport {
  readonly answered: number;
  readonly systemCalls: number | null;
}
