import { connect, type Socket } from 'node:net';
import { PcibackError, reasons, type Reason } from '../errors.ts';
import { type ControlError, type ControlReply, longestLine, splitLines } from './control-line.ts';

export interface CallOptions {
  /** How long the daemon may take, in milliseconds. Default 5000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What a stream brings. */
export interface StreamListener<Event> {
  event(event: Event): void;
  /** So many events were not read in time, and left out here. */
  dropped(events: number): void;
}

interface Call {
  readonly listener?: StreamListener<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A connection to the control socket of a running daemon. */
export class ControlClient {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #calls = new Map<number, Call>();
  #nextId = 1;
  #gone: PcibackError | undefined;

  /** Rejects with NO-DAEMON when nobody listens at `path`, and with NO-PERMISSION. */
  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      const fail = (error: NodeJS.ErrnoException): void => reject(unreachable(path, error));
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.off('error', fail);
        resolve(new ControlClient(path, socket));
      });
    });
  }

  private constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    socket.on('error', () => {});
    void this.#receive();
  }

  /**
   * Calls a method of the daemon. Rejects with the daemon's own error, with NO-DAEMON when it goes away, with TIMED-OUT,
   * or with the reason of `signal`.
   */
  async call<Result>(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    { timeoutMs = 5000, signal }: CallOptions = {},
  ): Promise<Result> {
    // Loaded with the first call: each file costs the start of a command time, also of one that calls nobody.
    const { deadlineSignal } = await import('../deadline.ts');
    signal?.throwIfAborted();
    if (this.#gone) throw this.#gone;
    const id = this.#nextId++;
    const limit = deadlineSignal(timeoutMs);
    const ended = AbortSignal.any(signal ? [limit.signal, signal] : [limit.signal]);
    try {
      return await new Promise<Result>((resolve, reject) => {
        this.#calls.set(id, { resolve: (result) => resolve(result as Result), reject });
        ended.addEventListener('abort', () =>
          reject(limit.signal.aborted ? slow(method, timeoutMs) : signal?.reason),
        );
        this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
      });
    } finally {
      limit.cancel();
      this.#calls.delete(id);
    }
  }

  /**
   * Listens to a stream of the daemon. Resolves when the stream ends, and when `signal` is aborted: then the connection is
   * ended. Rejects with the daemon's own error, or with NO-DAEMON when it goes away.
   */
  async listen<Event>(
    method: string,
    listener: StreamListener<Event>,
    { params = {}, signal }: { params?: Readonly<Record<string, unknown>>; signal?: AbortSignal } = {},
  ): Promise<void> {
    if (signal?.aborted) return;
    if (this.#gone) throw this.#gone;
    const id = this.#nextId++;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#calls.set(id, {
          listener,
          resolve: () => resolve(),
          reject,
        });
        signal?.addEventListener('abort', () => resolve(), { once: true });
        this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
      });
    } finally {
      this.#calls.delete(id);
      if (signal?.aborted) this.close();
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #receive(): Promise<void> {
    let cause: unknown;
    try {
      for await (const line of splitLines(this.#socket, longestLine.reply)) this.#settle(line);
    } catch (error) {
      cause = error;
    }
    this.#socket.destroy();
    this.#gone = new PcibackError(
      'NO-DAEMON',
      `the daemon at ${this.#path} went away`,
      'see what it printed last, and start it again: pciback serve',
      { cause },
    );
    for (const call of this.#calls.values()) call.reject(this.#gone);
  }

  #settle(line: string): void {
    const { id, result, error, event, dropped } = JSON.parse(line) as ControlReply;
    const call = this.#calls.get(id);
    if (error) call?.reject(remoteError(error));
    else if (event !== undefined) call?.listener?.event(event);
    else if (dropped !== undefined) call?.listener?.dropped(dropped);
    else call?.resolve(result);
  }
}

function remoteError({ reason, message, remedy }: ControlError): PcibackError {
  const known: Reason = Object.hasOwn(reasons, reason) ? reason : 'INTERNAL';
  return new PcibackError(known, message, remedy);
}

const slow = (method: string, timeoutMs: number): PcibackError =>
  new PcibackError(
    'TIMED-OUT',
    `the daemon did not answer '${method}' within ${timeoutMs / 1000} s`,
    'see what it prints; it may be busy with a reset',
  );

function unreachable(path: string, error: NodeJS.ErrnoException): PcibackError {
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new PcibackError(
      'NO-PERMISSION',
      `may not connect to the daemon at ${path}`,
      'run as the user who started it',
      {
        cause: error,
      },
    );
  }
  return new PcibackError('NO-DAEMON', `no pciback daemon answers at ${path}`, 'start one: pciback serve', {
    cause: error,
  });
}
