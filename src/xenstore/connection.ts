import { parts } from '../deadline.ts';
import { count, type XenstoreCounters } from './counters.ts';
import { ConnectionLost, XenstoreError } from './errors.ts';
import type { OpenTransport, Transport } from './transport.ts';
import {
  decodeStrings,
  encodeMessages,
  FramingError,
  maxPayload,
  maxReplyPayload,
  type Message,
  messageName,
  MessageParser,
  MessageType,
} from './wire.ts';

export interface Request {
  readonly type: MessageType;
  readonly transactionId: number;
  readonly payload: Uint8Array;
  /** The path or domain it is about, for messages. */
  readonly subject: string;
}

interface Pending extends Request {
  readonly requestId: number;
  /** The wait after which it is given up. Counts from when it leaves; waiting for a turn is not the daemon's fault. */
  deadline: number;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

export interface ConnectionHandlers {
  /** Must neither throw nor wait. */
  event(path: string, token: string): void;
  /** Comes once, after all that was under way has been rejected. */
  lost(error: ConnectionLost): void;
}

export interface ConnectionOptions {
  readonly requestTimeoutMs: number;
  /** Requests on the wire at a time; more wait their turn here. */
  readonly maxInFlight: number;
}

/**
 * One connection, from its opening to its loss: matches replies to requests by id, keeps a bounded number of them on the
 * wire, and gives the connection up when one is not answered in time - oxenstored can stall a connection for good behind
 * a client that does not read its events. The stream is always read, whatever the consumers do, so that we are never
 * that client.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #handlers: ConnectionHandlers;
  readonly #counters: XenstoreCounters;
  readonly #parser = new MessageParser(maxReplyPayload);
  #transport: Transport | undefined;
  readonly #inFlight = new Map<number, Pending>();
  #waiting: Pending[] = [];
  #outgoing: Pending[] = [];
  #lastId = 0;
  #watchdog: NodeJS.Timeout | undefined;
  /** How many waits have ended: see `deadline.ts`. */
  #waits = 0;
  #lost: ConnectionLost | undefined;

  /** Rejects with what `open` rejects with. */
  static async open(
    open: OpenTransport,
    options: ConnectionOptions,
    counters: XenstoreCounters,
    handlers: ConnectionHandlers,
  ): Promise<Connection> {
    const connection = new Connection(options, counters, handlers);
    connection.#transport = await open({
      received: (bytes) => connection.#received(bytes),
      closed: (cause) => connection.fail('xenstored closed the connection', cause),
    });
    return connection;
  }

  private constructor(options: ConnectionOptions, counters: XenstoreCounters, handlers: ConnectionHandlers) {
    this.#options = options;
    this.#counters = counters;
    this.#handlers = handlers;
  }

  /** Resolves with the payload of the reply. Rejects with `XenstoreError` or `ConnectionLost`. */
  request(request: Request): Promise<Uint8Array> {
    if (this.#lost) return Promise.reject(this.#lost);
    const { type, subject, payload } = request;
    if (payload.length > maxPayload) {
      const detail = `${payload.length} bytes are more than the protocol carries`;
      return Promise.reject(new XenstoreError('E2BIG', messageName(type), subject, detail));
    }
    return new Promise((resolve, reject) => {
      const pending = { ...request, requestId: this.#freshId(), deadline: Infinity, resolve, reject };
      if (this.#inFlight.size < this.#options.maxInFlight) this.#send(pending);
      else this.#waiting.push(pending);
    });
  }

  /** Rejects all that is under way with `ConnectionLost`; `lost` is called. Does nothing the second time. */
  fail(what: string, cause?: Error): void {
    if (this.#lost) return;
    this.#lost = new ConnectionLost(what, cause && { cause });
    clearTimeout(this.#watchdog);
    this.#transport?.close();
    for (const pending of this.#inFlight.values()) pending.reject(this.#lost);
    for (const pending of this.#waiting) pending.reject(this.#lost);
    this.#inFlight.clear();
    this.#waiting = [];
    this.#handlers.lost(this.#lost);
  }

  #freshId(): number {
    do {
      this.#lastId = (this.#lastId + 1) >>> 0 || 1;
    } while (this.#inFlight.has(this.#lastId));
    return this.#lastId;
  }

  #send(pending: Pending): void {
    this.#inFlight.set(pending.requestId, pending);
    count(this.#counters.requests, messageName(pending.type));
    // What one turn of the program asks for leaves in one write: behind all promises that are settled in it.
    if (this.#outgoing.length === 0) process.nextTick(() => this.#flush());
    this.#outgoing.push(pending);
  }

  #flush(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    if (this.#lost) return;
    // The wait that is under way has begun before.
    for (const pending of outgoing) pending.deadline = this.#waits + parts + 1;
    this.#watch();
    this.#transport?.send(encodeMessages(outgoing));
  }

  #received(bytes: Uint8Array): void {
    try {
      for (const message of this.#parser.push(bytes)) {
        if (this.#lost) return;
        if (message.type === MessageType.WATCH_EVENT) this.#event(message);
        else this.#reply(message);
      }
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.fail('xenstored sent what is no message', error);
    }
  }

  #event(message: Message): void {
    this.#counters.events++;
    const [path = '', token = ''] = decodeStrings(message.payload);
    this.#handlers.event(path, token);
  }

  #reply(message: Message): void {
    const pending = this.#inFlight.get(message.requestId);
    if (!pending) {
      this.#counters.unknownReplies++;
      return;
    }
    this.#inFlight.delete(pending.requestId);
    if (message.type === MessageType.ERROR) {
      const operation = messageName(pending.type);
      const [code = 'EIO'] = decodeStrings(message.payload);
      count(this.#counters.refusals, `${operation} ${code}`);
      pending.reject(new XenstoreError(code, operation, pending.subject));
    } else {
      pending.resolve(message.payload);
    }
    const next = this.#waiting.shift();
    if (next) this.#send(next);
  }

  /** One timer for all requests: they time out in the order in which they were sent. */
  #watch(): void {
    this.#watchdog ??= setTimeout(() => {
      this.#watchdog = undefined;
      this.#waits += 1;
      const oldest = this.#inFlight.values().next().value;
      if (!oldest || this.#lost) return;
      if (oldest.deadline > this.#waits) this.#watch();
      else this.#timeOut(oldest);
    }, this.#options.requestTimeoutMs / parts).unref();
  }

  #timeOut({ type, subject }: Pending): void {
    this.#counters.timeouts++;
    const seconds = this.#options.requestTimeoutMs / 1000;
    this.fail(`xenstored did not answer ${messageName(type)} ${subject} within ${seconds} s`);
  }
}
