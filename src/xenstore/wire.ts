/**
 * The xenstore wire protocol (xen/include/public/io/xs_wire.h): a header of four 32-bit words in the byte order of the
 * machine - little-endian wherever Xen runs - and a payload.
 *
 *     0       4        8       12      16
 *     +-------+--------+-------+-------+------------------+
 *     | type  | req_id | tx_id | len   | len bytes ...    |
 *     +-------+--------+-------+-------+------------------+
 *
 * Nothing here does I/O: bytes in, messages out, and the reverse.
 */
export const MessageType = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const;
export type MessageName = keyof typeof MessageType;
export type MessageType = (typeof MessageType)[MessageName];

const names = new Map<number, MessageName>(
  Object.entries(MessageType).map(([name, type]) => [type, name as MessageName]),
);

/** The name of a message type, or its number when xs_wire.h of Xen 4.17 does not know it. */
export const messageName = (type: number): string => names.get(type) ?? String(type);

/** Bytes of a header. */
export const headerSize = 16;
/** The longest payload either side may send (XENSTORE_PAYLOAD_MAX). */
export const maxPayload = 4096;
/** The longest reply a client accepts: oxenstored answers DIRECTORY with more than `maxPayload` instead of E2BIG. */
export const maxReplyPayload = 65536;
/** The transaction id that means "no transaction". */
export const noTransaction = 0;

export interface Message {
  /** Any 32-bit value: the other side may send types that `MessageType` does not list. */
  readonly type: number;
  /** Chosen by the client, repeated in the reply; 0 in watch events. */
  readonly requestId: number;
  readonly transactionId: number;
  readonly payload: Uint8Array;
}

/** The other side broke the framing. Nothing after this point of the stream can be understood. */
export class FramingError extends Error {
  override readonly name = 'FramingError';
}

export const encodeMessage = (message: Message): Buffer => encodeMessages([message]);

/** Messages one behind the other. */
export function encodeMessages(messages: readonly Message[]): Buffer {
  let length = 0;
  for (const { payload } of messages) length += headerSize + payload.length;
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { type, requestId, transactionId, payload } of messages) {
    bytes.writeUInt32LE(type, at);
    bytes.writeUInt32LE(requestId, at + 4);
    bytes.writeUInt32LE(transactionId, at + 8);
    bytes.writeUInt32LE(payload.length, at + 12);
    bytes.set(payload, at + headerSize);
    at += headerSize + payload.length;
  }
  return bytes;
}

/**
 * Cuts a byte stream into messages, however it was chopped into chunks. Holds at most one incomplete message, so its
 * memory is bounded by `limit`.
 */
export class MessageParser {
  readonly #limit: number;
  #header = Buffer.alloc(headerSize);
  #headerFill = 0;
  #payload = Buffer.alloc(0);
  #payloadFill = 0;

  /** `limit`: the longest payload accepted, in bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Yields every message that is complete with this chunk. Run it to its end before the next chunk. Payloads may share
   * memory with the chunk. Throws `FramingError`, after the messages before the fault, when a header announces more
   * than the limit.
   */
  *push(chunk: Uint8Array): Generator<Message, void, undefined> {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#headerFill < headerSize) {
        const taken = fill(this.#header, this.#headerFill, chunk, offset);
        this.#headerFill += taken;
        offset += taken;
        if (this.#headerFill < headerSize) return;
        const length = this.#payloadLength();
        if (chunk.length - offset >= length) {
          const payload = chunk.subarray(offset, offset + length);
          offset += length;
          yield this.#complete(payload);
          continue;
        }
        this.#payload = Buffer.allocUnsafe(length);
        this.#payloadFill = 0;
      }
      const taken = fill(this.#payload, this.#payloadFill, chunk, offset);
      this.#payloadFill += taken;
      offset += taken;
      if (this.#payloadFill === this.#payload.length) yield this.#complete(this.#payload);
    }
  }

  #payloadLength(): number {
    const length = this.#header.readUInt32LE(12);
    if (length > this.#limit) {
      throw new FramingError(
        `a ${messageName(this.#header.readUInt32LE(0))} message announces ${length} bytes`,
      );
    }
    return length;
  }

  #complete(payload: Uint8Array): Message {
    this.#headerFill = 0;
    return {
      type: this.#header.readUInt32LE(0),
      requestId: this.#header.readUInt32LE(4),
      transactionId: this.#header.readUInt32LE(8),
      payload,
    };
  }
}

/** Copies what fits from `source` (from `offset`) into `target` (from `start`); returns the number of bytes copied. */
function fill(target: Uint8Array, start: number, source: Uint8Array, offset: number): number {
  const count = Math.min(target.length - start, source.length - offset);
  target.set(source.subarray(offset, offset + count), start);
  return count;
}

/** A payload of strings, each ended by a NUL: `path|token|`. */
export const encodeStrings = (...strings: string[]): Buffer =>
  Buffer.from(strings.map((text) => `${text}\0`).join(''));

/** The payload of WRITE: the path, a NUL, and the value as it is. */
export const encodePathAndValue = (path: string, value: string | Uint8Array): Buffer =>
  typeof value === 'string'
    ? Buffer.from(`${path}\0${value}`)
    : Buffer.concat([Buffer.from(`${path}\0`), value]);

/** The strings of a payload, each ended by a NUL; what follows the last NUL is not a string and left out. */
export function decodeStrings(payload: Uint8Array): string[] {
  const strings: string[] = [];
  for (let start = 0; ;) {
    const end = payload.indexOf(0, start);
    if (end < 0) return strings;
    strings.push(decodeText(payload.subarray(start, end)));
    start = end + 1;
  }
}

/** Bytes as text (UTF-8; paths, tokens and permissions are ASCII by the protocol's rules). */
export const decodeText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
