import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Session } from './session.ts';
import type { Turns } from './turns.ts';
import { SocketSession } from './socket-session.ts';

/** What one guest may have of connections; more are turned away. */
const guestLimits = {
  atATime: 32,
  /** Made at once, and a second in the long run: each costs the daemon more than a request does. */
  burst: 64,
  perSecond: 200,
  /** Milliseconds for which nobody listens when it made more. */
  rest: 250,
} as const;

/** The socket of one domain and the connections made to it. */
export class Listener {
  readonly #path: string;
  readonly #isGuest: boolean;
  readonly #connect: () => Session;
  readonly #turns: Turns;
  readonly #now: () => number;
  readonly #sessions = new Set<SocketSession>();
  #server: Server;
  #inode: number;
  #connectionsLeft: number = guestLimits.burst;
  #countedAt: number;
  #rest: NodeJS.Timeout | undefined;

  /** Listens at `path` from now on; `now`: milliseconds of a clock that never goes back. Throws when the path cannot be used. */
  constructor(
    path: string,
    connect: () => Session,
    turns: Turns,
    guest: boolean,
    now: () => number = () => performance.now(),
  ) {
    this.#path = path;
    this.#connect = connect;
    this.#turns = turns;
    this.#isGuest = guest;
    this.#now = now;
    this.#countedAt = now();
    [this.#server, this.#inode] = this.#listen();
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
    clearTimeout(this.#rest);
    this.#remove();
    this.#server.close();
    for (const session of this.#sessions) session.destroy();
  }

  /**
   * The socket is made under another name and moved into place: it appears ready and with its final mode, and replaces what a daemon that
   * was killed has left there.
   */
  #listen(): [Server, number] {
    const server = createServer((socket) => this.#accept(socket));
    // For a unix socket `listen` binds before it returns; when it could not, there is nothing to move and that is the error.
    server.on('error', () => {});
    const temporary = `${this.#path}.${process.pid}`;
    rmSync(temporary, { force: true });
    server.listen(temporary);
    try {
      chmodSync(temporary, 0o600);
      const inode = lstatSync(temporary).ino;
      renameSync(temporary, this.#path);
      return [server, inode];
    } catch (error) {
      server.close();
      throw error;
    }
  }

  #accept(socket: Socket): void {
    if (this.#isGuest && !this.#mayConnect()) {
      socket.destroy();
      return;
    }
    const session = new SocketSession(socket, this.#connect(), this.#turns);
    this.#sessions.add(session);
    socket.on('close', () => this.#sessions.delete(session));
  }

  #mayConnect(): boolean {
    const { atATime, burst, perSecond } = guestLimits;
    const now = this.#now();
    const earned = ((now - this.#countedAt) * perSecond) / 1000;
    this.#connectionsLeft = Math.min(this.#connectionsLeft + earned, burst) - 1;
    this.#countedAt = now;
    if (this.#connectionsLeft < 0) this.#takeRest();
    return this.#connectionsLeft >= 0 && this.#sessions.size < atATime;
  }

  /** There is no other way to accept connections more slowly: until then the kernel turns them away. */
  #takeRest(): void {
    if (this.#rest) return;
    this.#server.close();
    this.#rest = setTimeout(() => this.#listenAgain(), guestLimits.rest);
  }

  #listenAgain(): void {
    this.#rest = undefined;
    try {
      if (this.inPlace) [this.#server, this.#inode] = this.#listen();
    } catch {
      // No file descriptor is left, or no room: it is tried again.
      this.#rest = setTimeout(() => this.#listenAgain(), guestLimits.rest);
    }
  }
}
