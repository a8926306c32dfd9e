import type { Socket } from 'node:net';
import { FramingError, maxPayload, type Message, MessageParser } from '../wire.ts';
import { isPrivileged } from './domain.ts';
import { quotas } from './quotas.ts';
import type { Session } from './session.ts';

/** How long a guest may leave its events unread, as in C xenstored. */
const patienceMs = 20_000;
/** Bytes handed to the socket at a time. The rest stays in the outbox, where events can still be merged. */
const writeSize = 16_384;
/** Bytes of unread replies after which the requests of a domain 0 client wait. */
const maxReplyBytes = 1 << 20;

/**
 * Joins a session to its socket. While a client does not read its replies its requests wait, so a connection holds a
 * bounded number of either.
 */
export class SocketSession {
  readonly #socket: Socket;
  readonly #session: Session;
  readonly #parser = new MessageParser(maxPayload);
  #messages: Iterator<Message, void> | undefined;
  #impatience: NodeJS.Timeout | undefined;

  constructor(socket: Socket, session: Session) {
    this.#socket = socket;
    this.#session = session;
    session.outbox.filled = () => queueMicrotask(() => this.#flush());
    session.outbox.overflowed = () => socket.destroy();
    socket.on('data', (chunk) => {
      this.#messages = this.#parser.push(chunk);
      this.#work();
    });
    socket.on('drain', () => {
      this.#flush();
      if (this.#messages) this.#work();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(this.#impatience);
      session.close();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Handles what has been received, as far as the replies are read. */
  #work(): void {
    try {
      for (;;) {
        if (this.#congested) this.#flush();
        if (this.#congested) {
          this.#socket.pause();
          return;
        }
        const next = this.#messages?.next();
        if (!next || next.done) break;
        this.#session.receive(next.value);
      }
    } catch (error) {
      // Whatever a client sends, it is this client that loses its connection, not the daemon its life.
      if (!(error instanceof FramingError))
        process.emitWarning(error instanceof Error ? error : String(error));
      this.#socket.destroy();
    }
    this.#messages = undefined;
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  get #congested(): boolean {
    const { outbox, domain } = this.#session;
    if (isPrivileged(domain)) return outbox.replyBytes > maxReplyBytes;
    return outbox.replies >= quotas.outstandingReplies;
  }

  #flush(): void {
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
