import { FramingError, maxPayload, type Message, MessageParser } from '../../../src/xenstore/wire.ts';
import type { DomainState } from '../../../src/xenstore/server/domain.ts';
import type { Session } from '../../../src/xenstore/server/session.ts';
import { Store } from '../../../src/xenstore/server/store.ts';

/** A store whose domains are what the test says. */
export class StoreSetting {
  readonly domains = new Map<number, DomainState>();
  readonly introduced: number[] = [];
  readonly released: number[] = [];
  stops = 0;
  readonly store = new Store({
    domainState: (domid) => this.domains.get(domid),
    introduced: (domid) => this.introduced.push(domid),
    released: (domid) => this.released.push(domid),
    stopRequested: () => this.stops++,
  });

  /** Changes the state of a domain and has the store look at it. */
  become(domid: number, state: DomainState | undefined): void {
    if (state) this.domains.set(domid, state);
    else this.domains.delete(domid);
    this.store.lookAt(domid);
  }

  /** A connection of domain 0, or of a domain that is introduced with it if need be. */
  connect(domid = 0): Peer {
    if (domid !== 0 && !this.store.isIntroduced(domid)) this.become(domid, 'running');
    return new Peer(this.store.connect(domid));
  }
}

/** The client's end of a session, without a socket between them. */
export class Peer {
  readonly session: Session;
  readonly #parser = new MessageParser(maxPayload);
  closed = false;

  constructor(session: Session) {
    this.session = session;
  }

  /** Sends bytes as a socket would and returns what comes back at once, in bytes. */
  send(bytes: Uint8Array): Buffer {
    try {
      if (!this.closed) for (const message of this.#parser.push(bytes)) this.session.receive(message);
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.closed = true;
      this.session.close();
      return Buffer.alloc(0);
    }
    return this.received();
  }

  /** What waits to be read. */
  received(): Buffer {
    return Buffer.from(this.session.outbox.take(Infinity) ?? []);
  }

  /** What waits to be read, as messages. */
  messages(): Message[] {
    return [...new MessageParser(65536).push(this.received())];
  }

  /** Sends one request and returns all that comes back. */
  ask(type: number, payload: Uint8Array, transactionId = 0): Message[] {
    this.session.receive({ type, requestId: 1, transactionId, payload });
    return this.messages();
  }
}
