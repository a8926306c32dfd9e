import { BehaviorSubject, type Observable } from 'rxjs';
import { Connection, type ConnectionOptions, type Request } from './connection.ts';
import type { XenstoreCounters } from './counters.ts';
import { ConnectionLost } from './errors.ts';
import type { OpenTransport } from './transport.ts';

export type LinkState = 'connected' | 'reconnecting' | 'closed';

export interface LinkHandlers {
  /** A connection stands, the first or a later one; requests that wait for it are sent after this returns. */
  connected(connection: Connection): void;
  event(path: string, token: string): void;
  /** There will be no further connection. */
  closed(error: ConnectionLost): void;
}

export interface LinkOptions extends ConnectionOptions {
  readonly reconnect: boolean;
}

const firstPauseMs = 20;
const longestPauseMs = 2000;

/** Keeps a connection standing: opens it, and when it is lost opens another, ever more slowly while nobody answers. */
export class Link {
  readonly #open: OpenTransport;
  readonly #options: LinkOptions;
  readonly #counters: XenstoreCounters;
  readonly #handlers: LinkHandlers;
  readonly #state = new BehaviorSubject<LinkState>('reconnecting');
  #connection: Connection | undefined;
  #waiters = new Set<Waiter>();
  #pause: NodeJS.Timeout | undefined;

  constructor(open: OpenTransport, options: LinkOptions, counters: XenstoreCounters, handlers: LinkHandlers) {
    this.#open = open;
    this.#options = options;
    this.#counters = counters;
    this.#handlers = handlers;
  }

  get state$(): Observable<LinkState> {
    return this.#state.asObservable();
  }

  /** Opens the first connection; rejects when that fails, without trying again. */
  async start(): Promise<void> {
    await this.#connect();
  }

  /** The connection that stands now, or the next one. Rejects when there is none within the time of a request. */
  connection(): Connection | Promise<Connection> {
    if (this.#connection) return this.#connection;
    if (this.#state.value === 'closed') return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new ConnectionLost('there is no connection to xenstored'));
      }, this.#options.requestTimeoutMs);
      const waiter: Waiter = { timer, resolve, reject };
      this.#waiters.add(waiter);
    });
  }

  request(request: Request): Promise<Uint8Array> {
    const connection = this.connection();
    if (connection instanceof Connection) return connection.request(request);
    return connection.then((next) => next.request(request));
  }

  close(): void {
    if (this.#state.value === 'closed') return;
    this.#state.next('closed');
    clearTimeout(this.#pause);
    const error = closedError();
    if (this.#connection) this.#connection.fail(error.message);
    else this.#finish(error);
  }

  async #connect(): Promise<void> {
    const connection = await Connection.open(this.#open, this.#options, this.#counters, {
      event: (path, token) => this.#handlers.event(path, token),
      lost: (error) => this.#lost(error),
    });
    if (this.#state.value === 'closed') {
      connection.fail('the client was closed');
      return;
    }
    this.#connection = connection;
    this.#handlers.connected(connection);
    this.#settle((waiter) => waiter.resolve(connection));
    this.#state.next('connected');
  }

  #lost(error: ConnectionLost): void {
    this.#connection = undefined;
    if (this.#options.reconnect && this.#state.value !== 'closed') {
      this.#state.next('reconnecting');
      this.#reconnect(firstPauseMs);
    } else {
      if (this.#state.value !== 'closed') this.#state.next('closed');
      this.#finish(error);
    }
  }

  #reconnect(pauseMs: number): void {
    // Jitter, so that the clients of one restarted daemon do not all knock at once.
    this.#pause = setTimeout(
      () => {
        this.#connect().then(
          () => this.#counters.reconnects++,
          () => {
            if (this.#state.value !== 'closed') this.#reconnect(Math.min(pauseMs * 2, longestPauseMs));
          },
        );
      },
      pauseMs * (0.5 + Math.random()),
    );
  }

  #finish(error: ConnectionLost): void {
    this.#settle((waiter) => waiter.reject(error));
    this.#handlers.closed(error);
    this.#state.complete();
  }

  #settle(how: (waiter: Waiter) => void): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const waiter of waiters) {
      clearTimeout(waiter.timer);
      how(waiter);
    }
  }
}

interface Waiter {
  readonly timer: NodeJS.Timeout;
  readonly resolve: (connection: Connection) => void;
  readonly reject: (error: Error) => void;
}

const closedError = (): ConnectionLost => new ConnectionLost('the xenstore client was closed');
