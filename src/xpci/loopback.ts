/** The loopback platform as a guest on it sees it: its own page, its own event channel, its own connection to xenstore. */
import { existsSync, watch } from 'node:fs';
import { join } from 'node:path';
import { PcibackError } from '../errors.ts';
import { FrontRing } from '../host/front-ring.ts';
import { OpWord } from '../ring/layout.ts';
import { refusedWith, XenstoreClient, type XenstoreAccess } from '../xenstore/index.ts';
import type { RawPage } from './hostile/raw-page.ts';
import type { GrantedChannel, GuestHypervisor, InterruptLines } from './hypervisor.ts';
import type { GuestStore, StoreAccess } from './store.ts';

/** A front-end that waits for ever waits this long: native code takes 32 bits of milliseconds. */
const forEver = 0x7fff_ffff;

export class LoopbackHypervisor implements GuestHypervisor, InterruptLines {
  readonly #directory: string;
  readonly #domid: number;
  readonly #bound = new Set<number>();
  #ring: FrontRing | null = null;

  constructor(directory: string, domid: number) {
    this.#directory = directory;
    this.#domid = domid;
  }

  grantChannel(flags: number, answerTimeout: number): GrantedChannel {
    const ring = new FrontRing(this.#directory, this.#domid, { flags });
    const timeout = Math.min(answerTimeout, forEver);
    this.#ring = ring;
    return {
      grantRef: ring.ref,
      port: ring.port,
      exchange: (op) => (ring.exchange(op, timeout) ? (op[OpWord.err] ?? 0) : null),
      close: () => {
        ring.close();
        if (this.#ring !== ring) return;
        this.#ring = null;
        this.#bound.clear();
      },
    };
  }

  countInterrupts(pirq: number): number {
    const ring = this.#ring;
    if (!ring) return 0;
    if (!this.#bound.has(pirq)) ring.bindPirq(pirq);
    this.#bound.add(pirq);
    return ring.pirqEvents(pirq);
  }

  /** The page of the channel that was granted last, for guests that misbehave. */
  rawPage(): RawPage | null {
    const ring = this.#ring;
    if (!ring) return null;
    const bytes = Buffer.from(ring.page);
    return {
      read: (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
      write: (offset, source) => bytes.set(source, offset),
      notify: () => void ring.notify(),
    };
  }
}

export interface GuestConnection {
  readonly store: GuestStore;
  close(): void;
}

/**
 * Connects to xenstore with the rights of the domain, waiting up to `patience` milliseconds until the domain has been
 * introduced. Throws NO-XENSTORE.
 */
export async function connectGuest(
  directory: string,
  domid: number,
  patience = 10_000,
): Promise<GuestConnection> {
  const path = join(directory, 'xenstored', `dom${domid}`);
  await untilExists(path, join(directory, 'xenstored'), patience);
  const client = await XenstoreClient.connect({ path });
  const store: GuestStore = {
    ...guestAccess(client),
    transaction: (body) => client.transaction((transaction) => body(guestAccess(transaction))),
    watch: (watched) => client.watch(watched),
  };
  return { store, close: () => client.close() };
}

/**
 * A guest may not see whether a node exists below one that it cannot read. Before a toolstack has made the guest's own
 * directory, everything is of that kind: for the front-end it is simply not there yet.
 */
const guestAccess = (access: XenstoreAccess): StoreAccess => ({
  read: async (path) => {
    try {
      return await access.read(path);
    } catch (error) {
      if (refusedWith(error, 'EACCES')) return undefined;
      throw error;
    }
  },
  write: (path, value) => access.write(path, value),
  rm: (path) => access.rm(path),
});

/** Watches before it looks, so that nothing falls between the two. */
function untilExists(path: string, parent: string, patience: number): Promise<void> {
  const missing = (cause?: Error): PcibackError =>
    new PcibackError(
      'NO-XENSTORE',
      `no xenstored has made ${path}`,
      'start "pciback serve --loopback" on the directory, and make the domain before its guest',
      { cause },
    );
  if (!existsSync(parent)) return Promise.reject(missing());
  return new Promise((resolve, reject) => {
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      watcher.close();
      if (error) reject(error);
      else resolve();
    };
    const look = (): void => {
      if (existsSync(path)) finish();
    };
    const timer = setTimeout(() => finish(missing()), patience);
    const watcher = watch(parent, look).on('error', (cause) => finish(missing(cause)));
    look();
  });
}
