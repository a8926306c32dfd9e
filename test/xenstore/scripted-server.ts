import type { OpenTransport, TransportHandlers } from '../../src/xenstore/transport.ts';
import {
  encodeMessage,
  encodeStrings,
  maxPayload,
  type Message,
  messageName,
  MessageParser,
  MessageType,
} from '../../src/xenstore/wire.ts';
import { XenstoreClient, type XenstoreClientOptions } from '../../src/xenstore/index.ts';
import { StoreSetting } from './server/store-setting.ts';

/** What a connection does with a message. */
export type Script = (message: Message, connection: ScriptedConnection) => void;

/** A xenstored that does what the test says, at the other end of transports that are no sockets. */
export class ScriptedServer {
  readonly connections: ScriptedConnection[] = [];
  /** All messages that were received, on any connection. */
  readonly received: Message[] = [];
  /** The same, by the write they came in. */
  readonly writes: (readonly Message[])[] = [];
  script: Script;
  /** While false, nobody answers the door. */
  listening = true;

  constructor(script: Script) {
    this.script = script;
  }

  readonly open: OpenTransport = async (handlers) => {
    if (!this.listening) throw new Error('nobody listens');
    const connection = new ScriptedConnection(this, handlers);
    this.connections.push(connection);
    return connection;
  };

  /** The newest connection. */
  get connection(): ScriptedConnection {
    const connection = this.connections.at(-1);
    if (!connection) throw new Error('nobody has connected');
    return connection;
  }

  client(options: XenstoreClientOptions = {}): Promise<XenstoreClient> {
    return XenstoreClient.connect({ transport: this.open, ...options });
  }

  /** What each write asked for, as names of the requests. */
  turns(): string[][] {
    return this.writes.map((messages) => messages.map(({ type }) => messageName(type)));
  }

  /** What was asked for, as text: `READ /a`. */
  asked(type: number): string[] {
    return this.received
      .filter((message) => message.type === type)
      .map(({ payload }) => Buffer.from(payload).toString().replaceAll('\0', ' ').trim());
  }
}

export class ScriptedConnection {
  readonly #server: ScriptedServer;
  readonly #handlers: TransportHandlers;
  readonly #parser = new MessageParser(maxPayload);
  closed = false;

  constructor(server: ScriptedServer, handlers: TransportHandlers) {
    this.#server = server;
    this.#handlers = handlers;
  }

  send(bytes: Uint8Array): void {
    const messages = [...this.#parser.push(bytes)];
    this.#server.writes.push(messages);
    for (const message of messages) {
      this.#server.received.push(message);
      // The answer comes later, as over a socket.
      setImmediate(() => {
        if (!this.closed) this.#server.script(message, this);
      });
    }
  }

  close(): void {
    this.closed = true;
  }

  bytes(bytes: Uint8Array): void {
    if (!this.closed) this.#handlers.received(bytes);
  }

  reply(to: Message, ...texts: string[]): void {
    this.bytes(encodeMessage({ ...to, payload: encodeStrings(...texts) }));
  }

  value(to: Message, value: string): void {
    this.bytes(encodeMessage({ ...to, payload: Buffer.from(value) }));
  }

  refuse(to: Message, errno: string): void {
    this.bytes(encodeMessage({ ...to, type: MessageType.ERROR, payload: encodeStrings(errno) }));
  }

  event(path: string, token: string): void {
    const payload = encodeStrings(path, token);
    this.bytes(encodeMessage({ type: MessageType.WATCH_EVENT, requestId: 0, transactionId: 0, payload }));
  }

  /** The other side goes away. */
  drop(): void {
    if (this.closed) return;
    this.closed = true;
    this.#handlers.closed();
  }
}

/** Answers watches as both daemons do, and everything else with OK. */
export const agreeable: Script = (message, connection) => {
  connection.reply(message, 'OK');
  if (message.type !== MessageType.WATCH) return;
  const [path = '', token = ''] = Buffer.from(message.payload).toString().split('\0');
  connection.event(path, token);
};

/** A script in front of which others can be put: a real store. */
export function storeServer(setting = new StoreSetting()): ScriptedServer {
  const sessions = new Map<ScriptedConnection, ReturnType<StoreSetting['store']['connect']>>();
  return new ScriptedServer((message, connection) => {
    let session = sessions.get(connection);
    if (!session) {
      const made = setting.store.connect(0);
      sessions.set(connection, (session = made));
      made.outbox.filled = () =>
        queueMicrotask(() => connection.bytes(made.outbox.take(Infinity) ?? new Uint8Array()));
    }
    session.receive(message);
  });
}
