import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PcibackError } from '../../errors.ts';
import { maxSocketPath } from '../transport.ts';
import { DomainDirectory } from './domain-directory.ts';
import { Listener } from './listener.ts';
import { Store } from './store.ts';
import { Turns } from './turns.ts';
import { socketAnswers } from '../../unix-socket.ts';

export interface XenstoredOptions {
  /** The loopback hypervisor's directory. Domains are files in `dom`, sockets appear in `xenstored`. */
  readonly directory: string;
  /** Ends the daemon. */
  readonly signal?: AbortSignal;
}

/**
 * xenstored for a loopback hypervisor. It serves `DIR/xenstored/socket` with the rights of domain 0 and, for each domain
 * that has a file in `DIR/dom`, `DIR/xenstored/dom<domid>` with the rights of that domain.
 */
export class Xenstored {
  /** The socket of domain 0. */
  readonly socketPath: string;
  /** Resolves when the daemon has ended: closed, its directory gone, or its socket taken over. Never rejects. */
  readonly ended: Promise<void>;
  readonly #sockets: string;
  readonly #store: Store;
  readonly #domains: DomainDirectory;
  readonly #listeners = new Map<number, Listener>();
  readonly #turns = new Turns();
  readonly #signal: AbortSignal | undefined;
  readonly #close = (): void => this.close();
  #resolveEnded: () => void = () => {};
  #closed = false;

  /**
   * Serves from the moment it resolves. Rejects with DAEMON-RUNNING when a xenstored answers there already, and with
   * BAD-DIRECTORY when the directory does not exist or its name is too long for a socket.
   */
  static async start(options: XenstoredOptions): Promise<Xenstored> {
    const sockets = prepareDirectories(options.directory);
    const socketPath = join(sockets, 'socket');
    if (await socketAnswers(socketPath)) {
      throw new PcibackError(
        'DAEMON-RUNNING',
        `a xenstored serves ${options.directory} already`,
        'use it, or end it first',
      );
    }
    const daemon = new Xenstored(options, sockets, socketPath);
    try {
      daemon.#begin();
    } catch (error) {
      daemon.close();
      throw unusable(options.directory, error);
    }
    return daemon;
  }

  private constructor({ directory, signal }: XenstoredOptions, sockets: string, socketPath: string) {
    this.socketPath = socketPath;
    this.#sockets = sockets;
    this.#signal = signal;
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#domains = new DomainDirectory(join(directory, 'dom'), {
      changed: (domid) => this.#store.lookAt(domid),
      replaced: (domid) => this.#store.replace(domid),
      scanned: () => this.#checkListeners(),
      gone: () => this.close(),
    });
    this.#store = new Store({
      domainState: (domid) => this.#domains.state(domid),
      introduced: (domid) => this.#listen(domid),
      released: (domid) => this.#unlisten(domid),
      stopRequested: () => setImmediate(this.#close),
    });
  }

  #begin(): void {
    for (const name of readdirSync(this.#sockets)) {
      if (/^(?:socket|dom[0-9]+)(?:\.[0-9]+)?$/.test(name))
        rmSync(join(this.#sockets, name), { force: true });
    }
    this.#domains.start();
    // Domain 0 last: who can connect finds the domains introduced.
    if (!this.#closed) this.#listen(0);
    this.#signal?.addEventListener('abort', this.#close);
    if (this.#signal?.aborted) this.close();
  }

  /** Ends all connections and removes the sockets. The store's contents are gone. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#close);
    this.#domains.close();
    for (const domid of this.#listeners.keys()) this.#unlisten(domid);
    this.#resolveEnded();
  }

  #listen(domid: number): void {
    const path = domid === 0 ? this.socketPath : join(this.#sockets, `dom${domid}`);
    try {
      this.#listeners.set(
        domid,
        new Listener(path, () => this.#store.connect(domid), this.#turns, domid !== 0),
      );
    } catch (error) {
      // A guest's socket that cannot be made now is tried again with each scan.
      if (domid === 0) throw error;
    }
  }

  #unlisten(domid: number): void {
    this.#listeners.get(domid)?.close();
    this.#listeners.delete(domid);
  }

  #checkListeners(): void {
    const own = this.#listeners.get(0);
    if (own && !own.inPlace) {
      this.close();
      return;
    }
    for (const domid of this.#store.introducedDomains) {
      if (domid !== 0 && !this.#listeners.has(domid)) this.#listen(domid);
    }
  }
}

/**
 * Runs xenstored until `signal` is aborted or the directory is gone; without `signal`, until SIGTERM or SIGINT. `onReady`
 * is called once, when domain 0 can connect.
 */
export async function runXenstored(
  options: XenstoredOptions & { readonly onReady?: () => void },
): Promise<void> {
  const abort = new AbortController();
  const end = (): void => abort.abort();
  if (!options.signal) for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, end);
  try {
    const xenstored = await Xenstored.start({ ...options, signal: options.signal ?? abort.signal });
    options.onReady?.();
    await xenstored.ended;
  } finally {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.off(name, end);
  }
}

/** Returns the directory of the sockets. */
function prepareDirectories(directory: string): string {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new PcibackError('BAD-DIRECTORY', `${directory} is not a directory`, 'make it, or name another');
  }
  const sockets = join(directory, 'xenstored');
  const longest = join(sockets, `dom32751.${2 ** 22}`);
  if (Buffer.byteLength(longest) > maxSocketPath) {
    throw new PcibackError(
      'BAD-DIRECTORY',
      `${directory} is too long a name: the path of a unix socket has at most ${maxSocketPath} bytes`,
      'use a directory with a shorter path',
    );
  }
  try {
    mkdirSync(join(directory, 'dom'), { recursive: true });
    mkdirSync(sockets, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(directory, error);
  }
  return sockets;
}

const unusable = (directory: string, cause: unknown): PcibackError =>
  new PcibackError(
    'BAD-DIRECTORY',
    `${directory} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
    'see that it can be written to, or name another',
    { cause },
  );
