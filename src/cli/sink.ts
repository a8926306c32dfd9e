/**
 * Lines on their way to a descriptor. Nobody waits for them: a thread writes (host/output-thread.ts), and here is decided what. Where a
 * write fails, what was to be written is given up and counted, and how much that is is written as soon as a write succeeds again. A line
 * of which a part has been written is finished first: no reader ever sees the beginning of one line and the end of another in one.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { Writer } from '../host/output-thread.ts';

/** How a line says that others of its kind were dropped where it stands. */
type Notice = (lines: number) => string;

interface Entry {
  readonly bytes: Uint8Array;
  /** Lines that are lost if this one is, and how that is told: several, if it tells of others. */
  readonly lines: number;
  readonly notice?: Notice;
}

interface Flying {
  readonly entries: readonly Entry[];
  bytes: Uint8Array;
}

/** Bytes that may wait for a slow reader; what is offered on top is dropped and counted. */
const mostPending = 0x10_0000;

/** What a pipe takes in one piece or not at all (PIPE_BUF): whoever is killed meanwhile leaves no torn line behind. */
const atOnce = 4096;

/** How often it is tried again to write what has been lost, in milliseconds. */
const retryEvery = 1000;

/** How long is waited for a reader that takes nothing, and for a slow one, when the process ends; in milliseconds. */
const farewell = { stuck: 250, slow: 2000 } as const;

const nothing = new Uint8Array();

/** `ENOSPC` and what it means, of a negative errno. */
export interface WriteError {
  readonly code: string;
  readonly meaning: string;
}

const describe = (errno: number): WriteError => {
  const [code = `error ${-errno}`, meaning = 'unknown error'] = getSystemErrorMap().get(errno) ?? [];
  return { code, meaning };
};

export class Sink {
  readonly #writer: Writer;
  readonly #failed: ((error: WriteError) => void)[] = [];
  readonly #waiting = new Set<() => void>();
  #queue: Entry[] = [];
  #pending = 0;
  /** What is left of a line of which a part has been written. */
  #torn: Uint8Array = nothing;
  /** What is being written, and the bytes of it that are still to be. */
  #flying: Flying | undefined;
  /** Nothing has been written yet, and a killed daemon may have left half a line. */
  #isFreshLine = true;
  readonly #lost = new Map<Notice, number>();
  #retry: NodeJS.Timeout | undefined;

  /** @param open is given what is to be called after each write */
  constructor(open: (done: () => void) => Writer) {
    this.#writer = open(() => this.#settle());
  }

  /** Bytes that have not been written yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Calls back whenever something could not be written. */
  onFailure(failed: (error: WriteError) => void): void {
    this.#failed.push(failed);
  }

  /** Lines that are kept until they are written, or cannot be. */
  write(text: string): void {
    this.#add({ bytes: Buffer.from(text), lines: 0 });
  }

  /** A line, without its end. It is dropped if the reader is too slow, and what `notice` says of it stands in its place. */
  offer(line: string, notice: Notice): void {
    const entry = { bytes: Buffer.from(`${line}\n`), lines: 1, notice };
    if (this.#pending > mostPending) {
      this.#lose(entry);
      return;
    }
    this.#tellOfLost();
    this.#add(entry);
  }

  /** Resolves when all is written or given up. Rejects with the reason of `signal`. Keeps the process meanwhile. */
  async idle(signal: AbortSignal): Promise<void> {
    if (!this.#flying) return;
    signal.throwIfAborted();
    this.#writer.hold(true);
    const over = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.add(resolve);
        const giveUp = (): void => reject(signal.reason as Error);
        signal.addEventListener('abort', giveUp, { signal: over.signal });
      });
    } finally {
      over.abort();
      this.#writer.hold(false);
    }
  }

  /** Writes what can be written soon. The last thing that a process does; nothing else is done meanwhile. */
  drain(): void {
    const end = performance.now() + farewell.slow;
    this.#goOn();
    while (this.#flying && performance.now() < end && this.#writer.wait(farewell.stuck)) this.#settle();
  }

  #add(entry: Entry): void {
    this.#queue.push(entry);
    this.#pending += entry.bytes.length;
    this.#pump();
  }

  /** Tries again what could not be written. */
  #goOn(): void {
    this.#tellOfLost();
    this.#pump();
  }

  #lose({ lines, notice }: Entry): void {
    if (notice) this.#lost.set(notice, (this.#lost.get(notice) ?? 0) + lines);
  }

  #tellOfLost(): void {
    const lost = [...this.#lost];
    this.#lost.clear();
    for (const [notice, lines] of lost)
      this.#add({ bytes: Buffer.from(`${notice(lines)}\n`), lines, notice });
  }

  #pump(): void {
    if (this.#flying || (this.#queue.length === 0 && this.#torn.length === 0)) return;
    let length = this.#torn.length;
    let count = 0;
    for (const { bytes } of this.#queue) {
      if (count > 0 && length + bytes.length > atOnce) break;
      length += bytes.length;
      count += 1;
    }
    const entries = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    const bytes = Buffer.concat([this.#torn, ...entries.map((each) => each.bytes)]);
    this.#flying = { entries, bytes };
    this.#torn = nothing;
    this.#writer.begin(bytes, this.#isFreshLine && entries[0]?.notice !== undefined);
  }

  /** Takes note of a write that has ended. */
  #settle(): void {
    const written = this.#writer.take();
    if (written === null || !this.#flying) return;
    if (written > 0) this.#advance(this.#flying, written);
    else this.#giveUp(this.#flying, written === 0 ? -constants.errno.EIO : written);
    if (this.#flying) return;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #advance(flying: Flying, written: number): void {
    this.#isFreshLine = false;
    this.#pending -= written;
    flying.bytes = flying.bytes.subarray(written);
    if (flying.bytes.length > 0) {
      this.#writer.begin(flying.bytes, false);
      return;
    }
    this.#flying = undefined;
    if (this.#queue.length === 0) this.#tellOfLost();
    this.#pump();
  }

  #giveUp({ entries, bytes }: Flying, errno: number): void {
    let left = bytes.length;
    const unwritten = entries.filter((_, index) => entriesFrom(entries, index) <= bytes.length);
    for (const entry of unwritten) left -= entry.bytes.length;
    for (const entry of [...unwritten, ...this.#queue]) this.#lose(entry);
    this.#torn = bytes.subarray(0, left);
    this.#pending = left;
    this.#queue = [];
    this.#flying = undefined;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#goOn(), retryEvery).unref();
    for (const failed of this.#failed) failed(describe(errno));
  }
}

/** The bytes of the entries from this one on. */
const entriesFrom = (entries: readonly Entry[], index: number): number =>
  entries.slice(index).reduce((sum, { bytes }) => sum + bytes.length, 0);
