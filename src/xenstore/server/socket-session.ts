import type { Socket } from 'node:net';
import { FramingError, maxPayload, type Message, MessageParser } from '../wire.ts';
import { type Domain, isPrivileged } from './domain.ts';
import { quotas } from './quotas.ts';
import type { Session } from './session.ts';
import type { Client, Turns } from './turns.ts';

/** How long a guest may leave its events unread, as in C xenstored. */
const patienceMs = 20_000;
/** Bytes handed to the socket at a time. The rest stays in the outbox, where events can still be merged. */
const writeSize = 16_384;
/** Bytes of unread replies after which the requests of a domain 0 client wait. */
const maxReplyBytes = 1 << 20;

/** Faults of ours that are told of: a guest that has found one could fill a log with it. */
let complaintsLeft = 20;

function complain(error: unknown): void {
  if (complaintsLeft === 0) return;
  complaintsLeft -= 1;
  process.emitWarning(error instanceof Error ? error : String(error));
}

/**
 * Joins a session to its socket. Of what a client sends no more is read than a chunk until all of that is handled, which happens in turn
 * with others, and its requests wait while it does not read its replies: a connection holds a bounded number of either.
 */
export class SocketSession implements Client {
  readonly #socket: Socket;
  readonly #session: Session;
  readonly #turns: Turns;
  readonly #parser = new MessageParser(maxPayload);
  #messages: Iterator<Message, void> | undefined;
  /** It has its place among those that have requests. */
  #isReady = false;
  #impatience: NodeJS.Timeout | undefined;

  constructor(socket: Socket, session: Session, turns: Turns) {
    this.#socket = socket;
    this.#session = session;
    this.#turns = turns;
    // What a guest is sent is work for it; domain 0 is told at once.
    session.outbox.filled = () =>
      isPrivileged(session.domain) ? queueMicrotask(() => this.flush()) : this.#beReady();
    session.outbox.overflowed = () => socket.destroy();
    socket.on('data', (chunk) => {
      socket.pause();
      this.#messages = this.#parser.push(chunk);
      this.#beReady();
    });
    socket.on('drain', () => this.#beReady());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(this.#impatience);
      this.#messages = undefined;
      session.close();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get domain(): Domain {
    return this.#session.domain;
  }

  work(): boolean {
    if (this.#isCongested) this.flush();
    // Requests wait for `drain`, the end of a connection for nothing.
    this.#isReady = !this.#isCongested && this.#handleNext();
    return this.#isReady;
  }

  #beReady(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#turns.add(this);
  }

  /** False when all that has been received is handled; then more is read. */
  #handleNext(): boolean {
    try {
      const next = this.#messages?.next();
      if (next && !next.done) {
        this.#session.receive(next.value);
        return true;
      }
    } catch (error) {
      // Whatever a client sends, it is this client that loses its connection, not the daemon its life.
      if (!(error instanceof FramingError)) complain(error);
      this.#socket.destroy();
    }
    this.#messages = undefined;
    this.#socket.resume();
    return false;
  }

  get #isCongested(): boolean {
    const { outbox, domain } = this.#session;
    if (isPrivileged(domain)) return outbox.replyBytes > maxReplyBytes;
    return outbox.replies >= quotas.outstandingReplies;
  }

  /** Hands to the socket what that takes at once. While more waits, the socket says when it can take it. */
  flush(): void {
    const { outbox, domain } = this.#session;
    const socket = this.#socket;
    while (!socket.writableNeedDrain && !socket.destroyed) {
      const bytes = outbox.take(writeSize);
      if (!bytes) break;
      socket.write(bytes);
      clearTimeout(this.#impatience);
      this.#impatience = undefined;
    }
    if (outbox.empty || isPrivileged(domain)) return;
    this.#impatience ??= setTimeout(() => socket.destroy(), patienceMs).unref();
  }
}
