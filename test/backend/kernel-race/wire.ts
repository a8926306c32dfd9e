/** The daemon's connection to a store, on which each write of the daemon waits until a test lets it through. */
import type { OpenTransport } from '../../../src/xenstore/transport.ts';
import { type Message, MessageParser, MessageType, maxPayload } from '../../../src/xenstore/wire.ts';
import { StoreSetting } from '../../xenstore/server/store-setting.ts';

const changing: ReadonlySet<number> = new Set([MessageType.WRITE, MessageType.RM, MessageType.MKDIR]);

export class Wire {
  readonly setting = new StoreSetting();
  /** Told of every write that would change something, when it is sent and when it takes effect. */
  onChange: (when: 'sent' | 'done') => void = () => undefined;
  /** Counts what was sent. */
  sent = 0;
  readonly #held: (() => void)[] = [];
  /** Transactions in which something was written. */
  readonly #changed = new Set<number>();

  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Lets the oldest write through. */
  deliver(): void {
    this.#held.shift()?.();
  }

  readonly open: OpenTransport = async (handlers) => {
    const session = this.setting.store.connect(0);
    const parser = new MessageParser(maxPayload);
    session.outbox.filled = () =>
      queueMicrotask(() => {
        const bytes = session.outbox.take(Infinity);
        if (bytes) handlers.received(bytes);
      });
    return {
      send: (bytes) => {
        this.sent++;
        const messages = [...parser.push(bytes)];
        const changes = messages.filter((message) => this.#isChange(message)).length > 0;
        if (changes) this.onChange('sent');
        this.#held.push(() => {
          if (changes) this.onChange('done');
          for (const message of messages) session.receive(message);
        });
      },
      close: () => session.close(),
    };
  };

  #isChange({ type, transactionId, payload }: Message): boolean {
    if (type === MessageType.TRANSACTION_END) {
      const isCommitted = Buffer.from(payload).toString().startsWith('T');
      return this.#changed.delete(transactionId) && isCommitted;
    }
    if (!changing.has(type)) return false;
    if (transactionId === 0) return true;
    this.#changed.add(transactionId);
    return false;
  }
}
