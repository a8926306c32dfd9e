import { Observable, type Subscriber } from 'rxjs';
import type { Connection } from './connection.ts';
import type { XenstoreCounters } from './counters.ts';
import { ConnectionLost } from './errors.ts';
import { encodeStrings, MessageType, noTransaction } from './wire.ts';

/** Distinct changed paths that wait for one consumer; beyond this they become one: the watched path. */
export const maxPendingPaths = 64;

/** One subscription: the paths that changed since its consumer was last called. */
interface Bell {
  readonly subscriber: Subscriber<string>;
  readonly watch: Watch;
  pending: Set<string>;
}

/** One watch on the wire, shared by all that subscribe to its path. */
interface Watch {
  readonly path: string;
  readonly token: string;
  readonly bells: Set<Bell>;
  /** The first event has come: who subscribes now cannot wait for it. */
  rung: boolean;
}

/**
 * The watches of a client as streams of changed paths. A watch event is a doorbell: it says where to look, not what has
 * happened. So events may be merged, and are: each consumer has a bounded set of paths, emptied once per turn of the
 * event loop, whatever a guest does to its keys.
 */
export class Watches {
  readonly #counters: XenstoreCounters;
  readonly #byPath = new Map<string, Watch>();
  readonly #byToken = new Map<string, Watch>();
  #connection: Connection | undefined;
  #ringing = new Set<Bell>();
  #lastToken = 0;
  /** How streams end, once they do. */
  #finish: ((subscriber: Subscriber<string>) => void) | undefined;

  constructor(counters: XenstoreCounters) {
    this.#counters = counters;
  }

  watch(path: string): Observable<string> {
    return new Observable((subscriber) => {
      if (this.#finish) {
        this.#finish(subscriber);
        return undefined;
      }
      const watch = this.#byPath.get(path) ?? this.#begin(path);
      const bell: Bell = { subscriber, watch, pending: new Set() };
      watch.bells.add(bell);
      if (watch.rung) this.#ring(bell, path);
      return () => {
        watch.bells.delete(bell);
        this.#ringing.delete(bell);
        if (watch.bells.size === 0) this.#end(watch);
      };
    });
  }

  /** Sets every watch anew on a new connection; the first event of each brings its consumers up to date. */
  arm(connection: Connection): void {
    this.#connection = connection;
    for (const watch of this.#byPath.values()) this.#set(watch, connection);
  }

  event(path: string, token: string): void {
    const watch = this.#byToken.get(token);
    if (!watch) {
      this.#counters.unknownTokens++;
      return;
    }
    watch.rung = true;
    for (const bell of watch.bells) this.#ring(bell, path);
  }

  /** Ends every stream, now and later: with the error, or when there is none as complete. */
  close(error?: Error): void {
    const finish = (subscriber: Subscriber<string>): void =>
      error ? subscriber.error(error) : subscriber.complete();
    this.#finish = finish;
    this.#ringing.clear();
    for (const watch of this.#byPath.values()) {
      this.#forget(watch);
      for (const { subscriber } of watch.bells) finish(subscriber);
    }
  }

  #begin(path: string): Watch {
    // A token is never used twice, so an event that was under way when its watch was removed is known for what it is.
    const token = `pciback-${++this.#lastToken}`;
    const watch: Watch = { path, token, bells: new Set(), rung: false };
    this.#byPath.set(path, watch);
    this.#byToken.set(token, watch);
    if (this.#connection) this.#set(watch, this.#connection);
    return watch;
  }

  #set(watch: Watch, connection: Connection): void {
    request(connection, MessageType.WATCH, watch).catch((error: unknown) => {
      // The next connection sets it again.
      if (error instanceof ConnectionLost) return;
      this.#forget(watch);
      for (const { subscriber } of watch.bells) subscriber.error(error);
    });
  }

  #end(watch: Watch): void {
    if (!this.#forget(watch) || !this.#connection) return;
    // Refused or lost: either way it is no longer set.
    request(this.#connection, MessageType.UNWATCH, watch).catch(() => {});
  }

  #forget(watch: Watch): boolean {
    if (this.#byPath.get(watch.path) === watch) this.#byPath.delete(watch.path);
    return this.#byToken.delete(watch.token);
  }

  #ring(bell: Bell, path: string): void {
    bell.pending.add(path);
    if (bell.pending.size > maxPendingPaths) bell.pending = new Set([bell.watch.path]);
    // Consumers run outside the parser: an event handler that sends requests needs it to go on.
    if (this.#ringing.size === 0) setImmediate(() => this.#deliver());
    this.#ringing.add(bell);
  }

  #deliver(): void {
    const ringing = this.#ringing;
    this.#ringing = new Set();
    for (const bell of ringing) {
      const { pending, subscriber } = bell;
      bell.pending = new Set();
      for (const path of pending) subscriber.next(path);
    }
  }
}

const request = (connection: Connection, type: MessageType, { path, token }: Watch): Promise<Uint8Array> =>
  connection.request({
    type,
    transactionId: noTransaction,
    payload: encodeStrings(path, token),
    subject: path,
  });
