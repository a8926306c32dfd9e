import type { Observable, Subscription } from 'rxjs';
import { onDeadline } from '../deadline.ts';
import { PcibackError } from '../errors.ts';
import type { XenstoreReader } from './access.ts';
import { ConnectionLost } from './errors.ts';

/** What the body of a `wait` returns when what it has read is not what it waits for. */
export const again: unique symbol = Symbol('again');

/** The same as returning `again`, for a body that notices it deep inside. */
export class Again extends Error {
  override readonly name = 'Again';
}

export interface WaitOptions {
  readonly timeoutMs: number;
  /** What is waited for, for the message: "the front-end to connect". */
  readonly what?: string;
  readonly signal?: AbortSignal;
}

/**
 * Runs `body` until it returns a value, and after each `again` waits until something changes that it has read. Whole
 * handshakes become straight-line code this way: read the state; if it is not 3, again.
 *
 * Exactly the paths of the latest run are watched. A change between a read and its watch is not missed: a new watch
 * always rings once, and the body runs again.
 */
export async function waitFor<T>(
  reader: XenstoreReader,
  watch: (path: string) => Observable<string>,
  body: (reader: XenstoreReader) => Promise<T | typeof again>,
  options: WaitOptions,
): Promise<T> {
  const watched = new Map<string, Subscription>();
  const doorbell = new Doorbell();
  const fail = (error: unknown): void => doorbell.break(error);
  const cancel = onDeadline(options.timeoutMs, () => fail(timedOut(options)));
  const abort = (): void => fail(options.signal?.reason);
  options.signal?.addEventListener('abort', abort);
  try {
    options.signal?.throwIfAborted();
    for (;;) {
      const read = new Set<string>();
      doorbell.reset();
      const result = await Promise.race([attempt(body, recording(reader, read)), doorbell.broken]);
      if (result !== again) return result;
      if (read.size === 0) throw new Error('the body of a wait read nothing that could change');
      for (const [path, subscription] of watched) {
        if (read.has(path)) continue;
        subscription.unsubscribe();
        watched.delete(path);
      }
      for (const path of read) {
        if (watched.has(path)) continue;
        const complete = (): void => fail(new ConnectionLost('the xenstore client was closed'));
        watched.set(path, watch(path).subscribe({ next: () => doorbell.ring(), error: fail, complete }));
      }
      await Promise.race([doorbell.rung, doorbell.broken]);
    }
  } finally {
    cancel();
    options.signal?.removeEventListener('abort', abort);
    for (const subscription of watched.values()) subscription.unsubscribe();
  }
}

async function attempt<T>(
  body: (reader: XenstoreReader) => Promise<T | typeof again>,
  reader: XenstoreReader,
): Promise<T | typeof again> {
  try {
    return await body(reader);
  } catch (error) {
    // The watches ring when there is a connection again.
    if (error instanceof Again || error instanceof ConnectionLost) return again;
    throw error;
  }
}

function recording(reader: XenstoreReader, read: Set<string>): XenstoreReader {
  const note = (path: string): string => {
    read.add(path);
    return path;
  };
  return {
    read: (path) => reader.read(note(path)),
    readBytes: (path) => reader.readBytes(note(path)),
    directory: (path) => reader.directory(note(path)),
    getPerms: (path) => reader.getPerms(note(path)),
  };
}

/** A bell that stays rung until it is reset, and that can break for good. */
class Doorbell {
  rung: Promise<void> = Promise.resolve();
  ring: () => void = () => {};
  readonly broken: Promise<never>;
  break: (error: unknown) => void = () => {};

  constructor() {
    this.broken = new Promise((_, reject) => (this.break = reject));
    this.broken.catch(() => {});
  }

  reset(): void {
    this.rung = new Promise((resolve) => (this.ring = resolve));
  }
}

const timedOut = ({ what = 'a change in xenstore', timeoutMs }: WaitOptions): PcibackError =>
  new PcibackError(
    'TIMED-OUT',
    `waited ${timeoutMs / 1000} s for ${what}`,
    'see what the other side logs; its state keys are in xenstore (xenstore-ls -f)',
  );
