import { type Socket, connect } from 'node:net';
import { join } from 'node:path';
import {
  MessageParser,
  MessageType,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  maxReplyPayload,
  noTransaction,
} from '../../src/xenstore/wire.ts';

/**
 * The keys of a directory in the order in which they were written. A client of our own would merge what happens close
 * together; this one keeps every event that xenstored sends.
 */
export class WriteLog {
  readonly #socket: Socket;
  #keys: string[] = [];

  /** Resolves when nothing that happens from now on will be missed. */
  static async of(directory: string, path: string): Promise<WriteLog> {
    const log = new WriteLog(connect(join(directory, 'xenstored', 'socket')), path);
    await log.#armed;
    log.#keys = [];
    return log;
  }

  readonly #armed: Promise<void>;

  private constructor(socket: Socket, base: string) {
    this.#socket = socket;
    socket.on('error', () => {});
    this.#armed = new Promise((resolve) => {
      const parser = new MessageParser(maxReplyPayload);
      socket.on('data', (chunk) => {
        for (const { type, payload } of parser.push(chunk)) {
          if (type !== MessageType.WATCH_EVENT) continue;
          const [path = ''] = decodeStrings(payload);
          if (path === base) resolve();
          else if (path.startsWith(`${base}/`)) this.#keys.push(path.slice(base.length + 1));
        }
      });
    });
    const payload = encodeStrings(base, 'log');
    socket.write(
      encodeMessage({ type: MessageType.WATCH, requestId: 1, transactionId: noTransaction, payload }),
    );
  }

  /** What was written so far. */
  get keys(): readonly string[] {
    return this.#keys;
  }

  /** Forgets what was written so far. */
  clear(): void {
    this.#keys = [];
  }

  close(): void {
    this.#socket.destroy();
  }
}
