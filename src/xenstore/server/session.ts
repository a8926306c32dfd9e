import { encodeMessage, encodeStrings, type Message, MessageType } from '../wire.ts';
import type { Domain } from './domain.ts';
import { isPrivileged } from './domain.ts';
import type { Overlay } from './overlay.ts';
import { homeOf } from './path.ts';
import { Outbox } from './outbox.ts';
import { quotas } from './quotas.ts';
import { Refusal, refuse } from './refusal.ts';
import { type Call, requests } from './requests.ts';
import type { Store } from './store.ts';
import type { View } from './tree.ts';
import type { Watch } from './watch-index.ts';

const ok = encodeStrings('OK');

/** Bytes of events that may wait for a reader; C xenstored's soft limit of a guest's memory is about as large. */
const maxEventBytes = { guest: 1 << 20, domain0: 1 << 26 } as const;

/** One connection: its watches and its transactions. Messages go in by `receive`; replies and events come out of `outbox`. */
export class Session {
  readonly store: Store;
  readonly domain: Domain;
  readonly outbox: Outbox;
  readonly #watches = new Map<string, Watch>();
  readonly #transactions = new Map<number, Overlay>();
  #lastTransaction = 0;
  #closed = false;

  constructor(store: Store, domain: Domain) {
    this.store = store;
    this.domain = domain;
    this.outbox = new Outbox(isPrivileged(domain) ? maxEventBytes.domain0 : maxEventBytes.guest);
    domain.sessions.add(this);
  }

  get home(): string {
    return homeOf(this.domain.domid);
  }

  receive(message: Message): void {
    if (this.#closed) return;
    const afterwards: (() => void)[] = [];
    let type = message.type;
    let payload: Uint8Array;
    try {
      payload = this.#run(message, afterwards);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      type = MessageType.ERROR;
      payload = encodeStrings(error.errno);
    }
    this.outbox.reply(encodeMessage({ ...message, type, payload }));
    for (const act of afterwards) act();
  }

  #run(message: Message, afterwards: (() => void)[]): Uint8Array {
    const request = requests.get(message.type) ?? refuse('ENOSYS');
    if (request.privileged && !isPrivileged(this.domain)) refuse('EACCES');
    const transactionId = request.ignoresTransaction ? 0 : message.transactionId;
    let view: View = this.store.view;
    if (transactionId !== 0) view = this.#transactions.get(transactionId) ?? refuse('ENOENT');
    const call: Call = {
      session: this,
      domain: this.domain,
      view,
      transactionId,
      payload: message.payload,
      afterwards,
    };
    const reply = request.run(call);
    return reply instanceof Uint8Array ? reply : ok;
  }

  addWatch(path: string, token: string, prefix: string): Watch {
    const key = keyOf(path, token);
    if (this.#watches.has(key)) refuse('EEXIST');
    if (!isPrivileged(this.domain) && this.domain.watches > quotas.watches) refuse('E2BIG');
    const watch: Watch = { session: this, path, token, prefix, order: this.store.view.stamp() };
    this.#watches.set(key, watch);
    this.store.watches.add(watch);
    this.domain.watches++;
    return watch;
  }

  removeWatch(path: string, token: string): void {
    const key = keyOf(path, token);
    const watch = this.#watches.get(key) ?? refuse('ENOENT');
    this.#watches.delete(key);
    this.store.watches.remove(watch);
    this.domain.watches--;
  }

  /** Tells the client that something changed at `path`. */
  ring(watch: Watch, path: string): void {
    this.outbox.event(path.slice(watch.prefix.length), watch.token);
  }

  startTransaction(): number {
    if (!isPrivileged(this.domain) && this.domain.transactions > quotas.transactions) refuse('ENOSPC');
    do {
      this.#lastTransaction = (this.#lastTransaction + 1) >>> 0 || 1;
    } while (this.#transactions.has(this.#lastTransaction));
    this.#transactions.set(this.#lastTransaction, this.store.beginTransaction(this.domain));
    this.domain.transactions++;
    return this.#lastTransaction;
  }

  endTransaction(id: number, commit: boolean): void {
    const overlay = this.#transactions.get(id) ?? refuse('ENOENT');
    this.#transactions.delete(id);
    this.domain.transactions--;
    if (commit) this.store.commit(overlay, this.domain);
  }

  /** Drops all watches and transactions. */
  reset(): void {
    for (const watch of this.#watches.values()) this.store.watches.remove(watch);
    this.domain.watches -= this.#watches.size;
    this.domain.transactions -= this.#transactions.size;
    this.#watches.clear();
    this.#transactions.clear();
  }

  close(): void {
    this.#closed = true;
    this.reset();
    this.domain.sessions.delete(this);
  }
}

const keyOf = (path: string, token: string): string => `${path}\0${token}`;
