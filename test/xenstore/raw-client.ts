import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import {
  encodeMessage,
  encodeStrings,
  maxReplyPayload,
  type Message,
  messageName,
  MessageParser,
  MessageType,
} from '../../src/xenstore/wire.ts';

/** A connection that sends exactly what it is told and keeps every message it receives, in order. */
export class RawClient {
  readonly #socket: Socket;
  readonly #parser = new MessageParser(maxReplyPayload);
  #received: Message[] = [];
  #arrived: () => void = () => {};
  #lastId = 0;
  #ended = false;

  static async open(path: string): Promise<RawClient> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received.push(...this.#parser.push(chunk));
      this.#arrived();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#arrived();
    });
  }

  /**
   * Sends a request and then one that changes nothing, and returns what came before the answer to the latter: the reply,
   * and the events around it. Undefined when the connection was closed instead.
   */
  async exchange(
    type: number,
    payload: Uint8Array,
    transactionId = 0,
  ): Promise<readonly Message[] | undefined> {
    this.#socket.write(encodeMessage({ type, requestId: ++this.#lastId, transactionId, payload }));
    return this.settle();
  }

  /** What has come unasked for, complete up to now. */
  async settle(): Promise<readonly Message[] | undefined> {
    const requestId = ++this.#lastId;
    const payload = encodeStrings('0');
    this.#socket.write(
      encodeMessage({ type: MessageType.GET_DOMAIN_PATH, requestId, transactionId: 0, payload }),
    );
    for (;;) {
      const end = this.#received.findIndex((message) => message.requestId === requestId);
      if (end >= 0) {
        const messages = this.#received.slice(0, end);
        this.#received = this.#received.slice(end + 1);
        return messages;
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#arrived = resolve));
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A message as a line of text, without its request id. */
export const describe = ({ type, transactionId, payload }: Message): string =>
  `${messageName(type)} tx=${transactionId} ${JSON.stringify(Buffer.from(payload).toString('latin1'))}`;
