/**
 * The control socket of a running daemon: a unix socket on which each line is one JSON object. A request is
 * `{"id":1,"method":"status","params":{}}`, its reply `{"id":1,"result":...}` or `{"id":1,"error":{"reason","message",
 * "remedy"}}`. Replies of one connection come in the order of the requests.
 *
 * Some methods are streams: `{"id":1,"event":...}` any number of times, and a reply when the stream ends by itself. The client
 * ends it by hanging up. Events that it does not read in time are dropped, and `{"id":1,"dropped":5}` says how many.
 */
import type { Reason } from '../errors.ts';

export interface ControlRequest {
  readonly id: number;
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface ControlError {
  readonly reason: Reason;
  readonly message: string;
  readonly remedy: string;
}

/** A line can be no longer than this, in bytes. Requests are small; a reply lists every function of a host. */
export const longestLine = { request: 0x1_0000, reply: 0x100_0000 } as const;

/** What comes back for a request. */
export interface ControlReply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ControlError;
  readonly event?: unknown;
  readonly dropped?: number;
}

/** A line was longer than it may be. */
export class LineTooLong extends Error {
  override readonly name = 'LineTooLong';
}

/**
 * Cuts a stream of bytes into lines. Throws `LineTooLong` as soon as a line exceeds `longest` bytes, so that nobody can
 * make it hold more than that.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  longest: number,
): AsyncGenerator<string, void, undefined> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      held += end - from;
      if (held > longest) throw new LineTooLong();
      yield Buffer.concat([...parts, chunk.subarray(from, end)]).toString();
      parts = [];
      held = 0;
      from = end + 1;
    }
    parts.push(chunk.subarray(from));
    held += chunk.length - from;
    if (held > longest) throw new LineTooLong();
  }
}

/** Reads a request; a text when it is none. */
export function parseRequest(line: string): ControlRequest | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'the line is not JSON';
  }
  const { id, method, params = {} } = (value ?? {}) as Partial<Record<string, unknown>>;
  if (typeof id !== 'number' || typeof method !== 'string')
    return 'a request has a number id and a text method';
  if (typeof params !== 'object' || params === null || Array.isArray(params))
    return 'params is not an object';
  return { id, method, params: params as Record<string, unknown> };
}
