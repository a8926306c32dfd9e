import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { type Observable, Subject, type Subscription, takeUntil } from 'rxjs';
import { PcibackError } from '../errors.ts';
import {
  type ControlError,
  type ControlRequest,
  LineTooLong,
  longestLine,
  parseRequest,
  splitLines,
} from './control-line.ts';
import { pour } from './control-stream.ts';
import { socketAnswers } from '../unix-socket.ts';

/** What a control socket offers: from the name of a method to what it does. What it returns must be fit for JSON. */
export type ControlMethods = Readonly<Record<string, (params: ControlRequest['params']) => unknown>>;

/** Methods whose answer is a stream of events, which must be fit for JSON and must not fail. */
export type ControlStreams = Readonly<
  Record<string, (params: ControlRequest['params']) => Observable<unknown>>
>;

/** Connections at a time; more are turned away. */
const mostConnections = 64;

/** How long a client may take to read what is left when the server closes, in milliseconds. */
const farewell = 1000;

/** Serves the control socket of a daemon. */
export class ControlServer {
  readonly path: string;
  readonly #server: Server;
  readonly #methods: ControlMethods;
  readonly #streams: ControlStreams;
  readonly #closing = new Subject<void>();
  readonly #connections = new Set<Socket>();
  readonly #inode: number;

  /**
   * Listens at `path`, for this user only. A socket that a killed daemon has left behind is replaced. Rejects with
   * DAEMON-RUNNING when somebody answers there, and with BAD-DIRECTORY when no socket can be made.
   */
  static async listen(
    path: string,
    methods: ControlMethods,
    streams: ControlStreams = {},
    { isSuccessor = false }: { readonly isSuccessor?: boolean } = {},
  ): Promise<ControlServer> {
    // Of a process that dies the kernel may have closed all else before its socket.
    if (!isSuccessor && (await socketAnswers(path))) {
      throw new PcibackError(
        'DAEMON-RUNNING',
        `a pciback daemon answers at ${path}`,
        'use that one (pciback status), or stop it first',
      );
    }
    // Made under another name, it appears with its final mode, and never half.
    const temporary = `${path}.${process.pid}`;
    const server = createServer();
    try {
      rmSync(temporary, { force: true });
      server.listen(temporary);
      await once(server, 'listening');
      chmodSync(temporary, 0o600);
      const inode = lstatSync(temporary).ino;
      renameSync(temporary, path);
      return new ControlServer(path, server, inode, methods, streams);
    } catch (error) {
      server.close();
      throw new PcibackError(
        'BAD-DIRECTORY',
        `the control socket ${path} cannot be made: ${(error as Error).message}`,
        'use a directory that can be written and whose path is shorter than 90 characters',
        { cause: error },
      );
    }
  }

  private constructor(
    path: string,
    server: Server,
    inode: number,
    methods: ControlMethods,
    streams: ControlStreams,
  ) {
    this.path = path;
    this.#server = server;
    this.#methods = methods;
    this.#streams = streams;
    this.#inode = inode;
    server.maxConnections = mostConnections;
    server.on('connection', (socket) => void this.#serve(socket));
  }

  /** Stops listening, ends all streams and connections and removes the socket. */
  close(): void {
    this.#removeSocket();
    this.#server.close();
    this.#closing.next();
    for (const socket of this.#connections) {
      socket.destroySoon();
      socket.setTimeout(farewell, () => socket.destroy());
    }
  }

  /** A successor may have put its own in the same place. A socket that cannot be removed is replaced by the next daemon. */
  #removeSocket(): void {
    try {
      const status = lstatSync(this.path, { throwIfNoEntry: false });
      if (status?.ino === this.#inode) rmSync(this.path, { force: true });
    } catch {
      // Nothing answers there any more all the same.
    }
  }

  /** One request after the other, so that a client gets no more work done at a time than it reads answers. */
  async #serve(socket: Socket): Promise<void> {
    this.#connections.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#connections.delete(socket));
    let stream: Subscription | undefined;
    try {
      const chunks = socket.iterator({ destroyOnReturn: false });
      for await (const line of splitLines(chunks, longestLine.request)) {
        const request = parseRequest(line);
        const source = stream ? undefined : this.#streamOf(request);
        if (source) {
          stream = pour(source.events, source.id, socket);
          continue;
        }
        if (socket.write(`${await this.#answer(request)}\n`)) continue;
        await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
      }
    } catch (error) {
      if (error instanceof LineTooLong) {
        const what = `a request has at most ${longestLine.request} bytes`;
        socket.write(`${failed(null, badRequest(what))}\n`);
      }
    } finally {
      stream?.unsubscribe();
    }
    socket.end();
  }

  /** What is to be passed on when the request is for a stream. */
  #streamOf(request: ControlRequest | string): { id: number; events: Observable<unknown> } | undefined {
    const open = typeof request === 'string' ? undefined : own(this.#streams, request.method);
    if (typeof request === 'string' || !open) return undefined;
    return { id: request.id, events: open(request.params).pipe(takeUntil(this.#closing)) };
  }

  async #answer(request: ControlRequest | string): Promise<string> {
    if (typeof request === 'string') return failed(null, badRequest(request));
    const { id, method, params } = request;
    const run = own(this.#methods, method);
    if (own(this.#streams, method)) {
      return failed(id, badRequest('a connection carries one stream', 'open another connection'));
    }
    if (!run) {
      const remedy = `methods are ${Object.keys({ ...this.#methods, ...this.#streams }).join(', ')}`;
      return failed(id, badRequest(`there is no method '${method}'`, remedy));
    }
    try {
      return JSON.stringify({ id, result: (await run(params)) ?? null });
    } catch (error) {
      return failed(id, describe(error));
    }
  }
}

const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const failed = (id: number | null, error: ControlError): string => JSON.stringify({ id, error });

const badRequest = (
  message: string,
  remedy = 'use the pciback command of the same version as the daemon',
): ControlError => ({
  reason: 'USAGE',
  message,
  remedy,
});

const describe = (error: unknown): ControlError =>
  error instanceof PcibackError
    ? { reason: error.reason, message: error.message, remedy: error.remedy }
    : {
        reason: 'INTERNAL',
        message: error instanceof Error ? error.message : String(error),
        remedy: 'see what the daemon prints, and report it',
      };
