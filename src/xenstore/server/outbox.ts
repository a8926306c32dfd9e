import { encodeMessage, encodeStrings, headerSize, maxPayload, MessageType } from '../wire.ts';

interface Event {
  readonly path: string;
  readonly token: string;
}

/** What is on its way to one connection but was not taken yet, in order. */
export class Outbox {
  readonly #maxEventBytes: number;
  #queue: (Uint8Array | Event)[] = [];
  #next = 0;
  readonly #events = new Set<string>();
  #eventBytes = 0;
  #replies = 0;
  #replyBytes = 0;
  #overflowed = false;

  /** Called when something was put into the empty outbox. Must not throw. */
  filled: () => void = () => {};
  /** Called once when more events wait than may; from then on nothing is queued. Must not throw. */
  overflowed: () => void = () => {};

  constructor(maxEventBytes: number) {
    this.#maxEventBytes = maxEventBytes;
  }

  get empty(): boolean {
    return this.#next === this.#queue.length;
  }
  /** Replies, and their bytes, that wait to be taken. */
  get replies(): number {
    return this.#replies;
  }
  get replyBytes(): number {
    return this.#replyBytes;
  }

  reply(bytes: Uint8Array): void {
    this.#replies++;
    this.#replyBytes += bytes.length;
    this.#push(bytes);
  }

  /**
   * An event that waits already is not queued again: to a reader that falls behind, a key that flaps costs one event. Only
   * special paths are exempt, as in C xenstored.
   */
  event(path: string, token: string): void {
    if (this.#overflowed) return;
    const size = eventSize({ path, token });
    if (size > headerSize + maxPayload) return;
    if (!path.startsWith('@')) {
      const key = keyOf({ path, token });
      if (this.#events.has(key)) return;
      this.#events.add(key);
    }
    this.#eventBytes += size;
    if (this.#eventBytes > this.#maxEventBytes) {
      this.#overflowed = true;
      this.overflowed();
      return;
    }
    this.#push({ path, token });
  }

  /** Takes whole messages of together about `limit` bytes, at least one; undefined when there is none. */
  take(limit: number): Uint8Array | undefined {
    const taken: Uint8Array[] = [];
    let size = 0;
    while (size < limit) {
      const item = this.#queue[this.#next];
      if (!item) break;
      this.#next++;
      const bytes = item instanceof Uint8Array ? this.#takeReply(item) : this.#takeEvent(item);
      size += bytes.length;
      taken.push(bytes);
    }
    if (this.empty) {
      this.#queue = [];
      this.#next = 0;
    }
    return taken.length > 1 ? Buffer.concat(taken, size) : taken[0];
  }

  #push(item: Uint8Array | Event): void {
    const wasEmpty = this.empty;
    this.#queue.push(item);
    if (wasEmpty) this.filled();
  }

  #takeReply(bytes: Uint8Array): Uint8Array {
    this.#replies--;
    this.#replyBytes -= bytes.length;
    return bytes;
  }

  #takeEvent(event: Event): Uint8Array {
    this.#events.delete(keyOf(event));
    this.#eventBytes -= eventSize(event);
    return encodeMessage({
      type: MessageType.WATCH_EVENT,
      requestId: 0,
      transactionId: 0,
      payload: encodeStrings(event.path, event.token),
    });
  }
}

/** Paths and tokens hold no NUL. */
const keyOf = ({ path, token }: Event): string => `${path}\0${token}`;
const eventSize = ({ path, token }: Event): number =>
  headerSize + path.length + 1 + Buffer.byteLength(token) + 1;
