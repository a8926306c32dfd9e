import type { Observable } from 'rxjs';
import { Access, type XenstoreAccess, type XenstoreReader } from './access.ts';
import { newCounters, type XenstoreCounters } from './counters.ts';
import { Connection } from './connection.ts';
import { Link, type LinkState } from './link.ts';
import { BegunTransaction, runSnapshot, runTransaction } from './transaction.ts';
import { type OpenTransport, unixSocket, xenstoredSocketPath } from './transport.ts';
import { type again, waitFor, type WaitOptions } from './wait.ts';
import { Watches } from './watches.ts';
import { decodeStrings, decodeText, encodeStrings, MessageType, noTransaction } from './wire.ts';

export interface XenstoreClientOptions {
  /** The unix socket of xenstored; found as libxenstore finds it when not given. */
  readonly path?: string;
  /** Another way to reach xenstored; `path` is then not used. */
  readonly transport?: OpenTransport;
  /** How long a request may take before the connection is given up, in milliseconds. Default 5000. */
  readonly requestTimeoutMs?: number;
  /** Whether a lost connection is replaced by a new one with all watches set again. Default true. */
  readonly reconnect?: boolean;
  /** Requests on the wire at a time; more wait in the client. Default 32. */
  readonly maxInFlight?: number;
}

/**
 * A client of xenstored.
 *
 * Requests are answered in any number at a time. Outside a transaction a request made while there is no connection waits
 * for the next one, at most the time of a request; what was under way when a connection was lost is rejected with
 * `ConnectionLost`. All methods reject with `XenstoreError` when xenstored refuses.
 */
export class XenstoreClient extends Access {
  /** What has happened so far, for metrics. */
  readonly counters: Readonly<XenstoreCounters>;
  readonly #counters: XenstoreCounters;
  readonly #link: Link;
  readonly #watches: Watches;
  #closing = false;

  /** Rejects with NO-XENSTORE or NO-PERMISSION when xenstored cannot be reached now. */
  static async connect(options: XenstoreClientOptions = {}): Promise<XenstoreClient> {
    const client = new XenstoreClient(options);
    await client.#link.start();
    return client;
  }

  private constructor(options: XenstoreClientOptions) {
    super((type, payload, subject) => this.#ask(type, payload, subject));
    this.#counters = newCounters();
    this.counters = this.#counters;
    this.#watches = new Watches(this.#counters);
    this.#link = new Link(
      options.transport ?? unixSocket(options.path ?? xenstoredSocketPath()),
      {
        requestTimeoutMs: options.requestTimeoutMs ?? 5000,
        reconnect: options.reconnect ?? true,
        maxInFlight: options.maxInFlight ?? 32,
      },
      this.#counters,
      {
        connected: (connection) => this.#watches.arm(connection),
        event: (path, token) => this.#watches.event(path, token),
        closed: (error) => this.#watches.close(this.#closing ? undefined : error),
      },
    );
  }

  /** Starts with the present state; completes after `closed`. */
  get state$(): Observable<LinkState> {
    return this.#link.state$;
  }

  /**
   * The paths that change at and below `path`, beginning with `path` itself: that first one only says that the watch is
   * set, and comes again after every reconnect. An event is a doorbell; read anew to learn what happened. Several changes
   * of one path may come as one, and many changed paths as `path`. One watch on the wire serves all subscribers.
   *
   * The stream fails when xenstored refuses the watch, and completes when the client is closed. For consumers that take
   * their time use `reconcile`.
   */
  watch(path: string): Observable<string> {
    return this.#watches.watch(path);
  }

  /**
   * Runs `body` in a transaction: all of its changes take effect together or not at all. On a conflict it is run again
   * from the start, so it must have no other effects. When it throws, nothing is changed and the error passed on.
   * `begun`: one to use for it, once.
   */
  transaction<T>(body: (transaction: XenstoreAccess) => Promise<T>, begun?: BegunTransaction): Promise<T> {
    return runTransaction(() => this.#link.connection(), this.#counters, body, begun);
  }

  /**
   * Begins a transaction along with what is asked for now, so that whoever is going to need one does not have to wait for it. It must be
   * used or dropped. Undefined while there is no connection.
   */
  begin(): BegunTransaction | undefined {
    const connection = this.#link.connection();
    if (connection instanceof Connection) return new BegunTransaction(connection);
    connection.catch(() => undefined);
    return undefined;
  }

  /**
   * What `body` reads, as it was at one moment. It must ask for all of it before it waits for any of it: what it asks for later is
   * refused. On a conflict it is run again.
   */
  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T> {
    return runSnapshot(() => this.#link.connection(), this.#counters, body);
  }

  /**
   * Runs `body` until it returns something else than `again`; in between waits for a change of what it has read. Rejects
   * with TIMED-OUT, with the reason of `signal`, or with what `body` throws (other than `Again`).
   */
  wait<T>(body: (reader: XenstoreReader) => Promise<T | typeof again>, options: WaitOptions): Promise<T> {
    return waitFor(this, (path) => this.watch(path), body, options);
  }

  /** Tells xenstored that a domain runs and where its ring page and event channel are. */
  async introduce(domid: number, gfn: number | bigint, port: number): Promise<void> {
    await this.#onDomain(MessageType.INTRODUCE, domid, String(gfn), String(port));
  }

  /** Tells xenstored that a domain is gone: its nodes are removed. */
  async release(domid: number): Promise<void> {
    await this.#onDomain(MessageType.RELEASE, domid);
  }

  async isIntroduced(domid: number): Promise<boolean> {
    const [answer] = decodeStrings(await this.#onDomain(MessageType.IS_DOMAIN_INTRODUCED, domid));
    return answer === 'T';
  }

  /** The home of a domain, whether or not it exists: `/local/domain/5`. */
  async getDomainPath(domid: number): Promise<string> {
    const [path = ''] = decodeStrings(await this.#onDomain(MessageType.GET_DOMAIN_PATH, domid));
    return path;
  }

  /** After a domain was resumed: lets its next shutdown be announced again. */
  async resume(domid: number): Promise<void> {
    await this.#onDomain(MessageType.RESUME, domid);
  }

  /** Gives `domid` (a stub domain) the rights of `target`. */
  async setTarget(domid: number, target: number): Promise<void> {
    await this.#onDomain(MessageType.SET_TARGET, domid, String(target));
  }

  /** A command to the daemon itself, such as `check` or `quota`; resolves with what it prints. */
  async control(command: string, ...parameters: string[]): Promise<string> {
    const reply = await this.#ask(MessageType.CONTROL, encodeStrings(command, ...parameters), command);
    return decodeText(reply).replace(/\0$/, '');
  }

  /** Ends the connection, rejects what is under way and completes all streams. May be called twice. */
  close(): void {
    this.#closing = true;
    this.#link.close();
  }

  #onDomain(type: MessageType, domid: number, ...more: string[]): Promise<Uint8Array> {
    return this.#ask(type, encodeStrings(String(domid), ...more), `domain ${domid}`);
  }

  #ask(type: MessageType, payload: Uint8Array, subject: string): Promise<Uint8Array> {
    return this.#link.request({ type, transactionId: noTransaction, payload, subject });
  }
}
