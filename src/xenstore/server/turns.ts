/**
 * In which order requests are handled. Domains share the daemon, not connections: however many of these a guest holds, and whatever it
 * asks, it has the share of one domain, and the time that its requests took is charged to it.
 */
import { type Domain, isPrivileged } from './domain.ts';

/** A connection that has requests. */
export interface Client {
  readonly domain: Domain;
  /** Handles one of its requests; false when there are no more, or none that may be handled now. */
  work(): boolean;
  /** Sends the answers on their way. */
  flush(): void;
}

/** Requests of one connection that are handled one after the other. */
const requestsAtATime = 8;
/** Milliseconds after which the sockets are looked at again, for requests of others. */
const turnMs = 0.05;
/** Domain 0 serves all guests: it is charged this part of what it takes. */
const shareOfDomain0 = 1 / 8;
/**
 * Milliseconds of work at a time after which a guest has to rest, for `restFactor` times as long: some requests take that long whatever
 * is done about it, as the end of a transaction that rings many watches. A request of another domain seldom meets one then.
 */
const longWork = 1;
const restFactor = 4;

/** The clocks that the order depends on. */
export interface Time {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Milliseconds that this process has worked. */
  worked(): number;
  /** Calls back when the sockets have been looked at. */
  soon(turn: () => void): void;
  later(turn: () => void, milliseconds: number): void;
}

const realTime: Time = {
  now: () => performance.now(),
  worked: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  soon: (turn) => void setImmediate(turn),
  later: (turn, milliseconds) => void setTimeout(turn, milliseconds).unref(),
};

export class Turns {
  readonly #time: Time;
  readonly #ready = new Map<Domain, Client[]>();
  /** Domains whose requests took long. */
  readonly #resting = new Set<Domain>();
  /** What the domain had been charged whose client worked last: a domain that comes back has not saved up more than that. */
  #charged = 0;
  #isDue = false;

  constructor(time: Time = realTime) {
    this.#time = time;
  }

  /** To be called when a client that had nothing to do has got something. */
  add(client: Client): void {
    const { domain } = client;
    const waiting = this.#ready.get(domain);
    if (waiting) waiting.push(client);
    else {
      domain.charged = Math.max(domain.charged, this.#charged);
      this.#ready.set(domain, [client]);
    }
    if (!this.#resting.has(domain)) this.#plan();
  }

  #plan(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#time.soon(() => this.#take());
  }

  #take(): void {
    this.#isDue = false;
    const worked = this.#time.worked();
    let begin = this.#time.now();
    const end = begin + turnMs;
    let domain = this.#next();
    // At least one request is handled: on a slow processor a look at the clock alone may take the whole turn.
    while (domain) {
      this.#charged = domain.charged;
      this.#serve(domain, begin);
      const now = this.#time.now();
      domain.charged += (now - begin) * (isPrivileged(domain) ? shareOfDomain0 : 1);
      // The machine may have been busy with something else meanwhile.
      if (now - begin > longWork) this.#rest(domain, this.#time.worked() - worked);
      if (now >= end) break;
      begin = now;
      domain = this.#next();
    }
    if (this.#next()) this.#plan();
  }

  #rest(domain: Domain, worked: number): void {
    if (isPrivileged(domain) || worked <= longWork) return;
    this.#resting.add(domain);
    this.#time.later(() => {
      this.#resting.delete(domain);
      if (this.#ready.has(domain)) this.#plan();
    }, restFactor * worked);
  }

  /** Of those that do not rest the one that has been charged least; of equals domain 0. */
  #next(): Domain | undefined {
    let least: Domain | undefined;
    for (const domain of this.#ready.keys()) {
      if (this.#resting.has(domain)) continue;
      const isBefore =
        !least ||
        domain.charged < least.charged ||
        (domain.charged === least.charged && isPrivileged(domain));
      if (isBefore) least = domain;
    }
    return least;
  }

  /** One of its clients; each in turn. */
  #serve(domain: Domain, begin: number): void {
    const waiting = this.#ready.get(domain) ?? [];
    const client = waiting.shift();
    if (!client) return;
    let hasMore = true;
    for (let left = requestsAtATime; hasMore && left > 0; left--) {
      hasMore = client.work();
      if (this.#time.now() >= begin + turnMs) break;
    }
    client.flush();
    if (hasMore) waiting.push(client);
    if (waiting.length === 0) this.#ready.delete(domain);
  }
}
