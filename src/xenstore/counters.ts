/** What a client did so far, for metrics. Plain numbers that only grow. */
export interface XenstoreCounters {
  /** Requests sent, by operation: `READ`, `WRITE` ... */
  readonly requests: Record<string, number>;
  /** Requests that were refused, by operation and errno name: `READ ENOENT`. */
  readonly refusals: Record<string, number>;
  /** Watch events received. */
  events: number;
  /** Replies to requests that nobody waits for. */
  unknownReplies: number;
  /** Events for watches that were given up, or that never were. */
  unknownTokens: number;
  /** Requests that were not answered in time. */
  timeouts: number;
  /** Transactions that were run again after a conflict. */
  transactionRetries: number;
  /** Connections that were made after the first. */
  reconnects: number;
}

export const newCounters = (): XenstoreCounters => ({
  requests: {},
  refusals: {},
  events: 0,
  unknownReplies: 0,
  unknownTokens: 0,
  timeouts: 0,
  transactionRetries: 0,
  reconnects: 0,
});

export function count(table: Record<string, number>, key: string): void {
  table[key] = (table[key] ?? 0) + 1;
}
