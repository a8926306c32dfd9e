import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { Session } from './session.ts';
import type { Turns } from './turns.ts';
import { SocketSession } from './socket-session.ts';

/** Connections that one guest may hold; more are turned away. */
const maxGuestConnections = 32;

/** The socket of one domain and the connections made to it. */
export class Listener {
  readonly #path: string;
  readonly #server: Server;
  readonly #sessions = new Set<SocketSession>();
  readonly #inode: number;

  /**
   * Listens at `path` from now on. The socket is made under another name and moved into place: it appears ready and with
   * its final mode, and replaces what a daemon that was killed has left there. Throws when the path cannot be used.
   */
  constructor(path: string, connect: () => Session, turns: Turns, guest: boolean) {
    this.#path = path;
    this.#server = createServer((socket) => {
      const session = new SocketSession(socket, connect(), turns);
      this.#sessions.add(session);
      socket.on('close', () => this.#sessions.delete(session));
    });
    if (guest) this.#server.maxConnections = maxGuestConnections;
    // For a unix socket `listen` binds before it returns; when it could not, there is nothing to move and that is the error.
    this.#server.on('error', () => {});
    const temporary = `${path}.${process.pid}`;
    rmSync(temporary, { force: true });
    this.#server.listen(temporary);
    try {
      chmodSync(temporary, 0o600);
      this.#inode = lstatSync(temporary).ino;
      renameSync(temporary, path);
    } catch (error) {
      this.#server.close();
      throw error;
    }
  }

  /** False when the socket has been removed, or replaced by another daemon's. */
  get inPlace(): boolean {
    try {
      return lstatSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode;
    } catch {
      // It cannot be looked at now, which is no reason to end.
      return true;
    }
  }

  /** A socket that cannot be removed is replaced by whoever listens there next. */
  #remove(): void {
    try {
      if (this.inPlace) rmSync(this.#path, { force: true });
    } catch {
      // Nobody answers there any more.
    }
  }

  close(): void {
    this.#remove();
    this.#server.close();
    for (const session of this.#sessions) session.destroy();
  }
}
