/** Writing to a descriptor without ever waiting for it: see native/output_thread.h. */
import { write } from 'node:fs';
import { PcibackError } from '../errors.ts';
import { nativeAddon } from './native.ts';

/** Carries out one write after the other. */
export interface Writer {
  /** Hands bytes over. With `isFreshLine` they never continue a line that a file ends with. */
  begin(bytes: Uint8Array, isFreshLine: boolean): void;
  /** What the write that has ended has come to, once: the bytes that were written, or a negative errno. */
  take(): number | null;
  /** Blocks until the write has ended, for so many milliseconds at most. Says whether it has. */
  wait(milliseconds: number): boolean;
  /** Whether a write that is under way keeps the process. */
  hold(isHeld: boolean): void;
}

/** @param done called after each write */
export function openWriter(fd: number, done: () => void): Writer {
  try {
    return new (nativeAddon().OutputThread)(fd, done);
  } catch (error) {
    if (error instanceof PcibackError) return new PoolWriter(fd, done);
    throw error;
  }
}

/** How long before a descriptor that takes nothing now is tried again, in milliseconds. */
const retryAfter = 20;

/** Where the addon is missing, the little that can be done without it is told by a thread of libuv, for whose end the process waits. */
class PoolWriter implements Writer {
  readonly #fd: number;
  readonly #done: () => void;
  #result: number | null = null;

  constructor(fd: number, done: () => void) {
    this.#fd = fd;
    this.#done = done;
  }

  begin(bytes: Uint8Array): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.begin(bytes), retryAfter);
        return;
      }
      this.#result = error ? (error.errno ?? -1) : written;
      this.#done();
    });
  }

  take(): number | null {
    const result = this.#result;
    this.#result = null;
    return result;
  }

  wait(): boolean {
    return this.#result !== null;
  }

  hold(): void {}
}
