/**
 * Keeps the files of the state directory equal to what the daemon knows, although any write may fail. The truth is in memory. A file
 * that could not be written is written again later, by one timer for all of them; a file that changes all the time is written at most
 * a few times a second, the last change last.
 */
import { getSystemErrorMap } from 'node:util';
import { PcibackError } from '../errors.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';

/** When a change has to be on disk: before the next step, or soon, because a successor is only slower without it. */
export type Urgency = 'now' | 'soon';

/** What `status` says while not all of the state is saved. */
export interface Unsaved {
  /** The first file that could not be written. */
  readonly path: string;
  /** What the system said: `ENOSPC: no space left on device`. */
  readonly error: string;
  /** RFC 3339, UTC: since when some file was not saved. */
  readonly since: string;
  /** How many files are not saved now. */
  readonly files: number;
}

/** Milliseconds until files that could not be written are tried again: doubled with each time that fails. */
const pauses = { first: 100, longest: 5000 } as const;

/** Writes of one file that need not be done now: so many at once, and one more for each interval (ms). */
const budget = { burst: 4, interval: 500 } as const;

/** Milliseconds between two looks for files of which nothing has to be remembered any more. */
const sweepEvery = 10_000;

interface File {
  /** Brings the file to what is known now; undefined when that has been done. */
  pending: (() => void) | undefined;
  /** The last attempt failed. */
  isFailed: boolean;
  writes: number;
  /** When `writes` was right. */
  since: number;
}

export class Saver {
  readonly #files = new Map<string, File>();
  readonly #emit: (event: BackendEvent) => void;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer is due. */
  #due = Infinity;
  #retryAt = Infinity;
  #pause: number = pauses.first;
  #trouble: Omit<Unsaved, 'files'> | undefined;
  #sweptAt = 0;
  #isClosed = false;

  constructor(emit: (event: BackendEvent) => void = () => undefined) {
    this.#emit = emit;
  }

  /** Null when all is saved that has to be. */
  get unsaved(): Unsaved | null {
    return this.#trouble ? { ...this.#trouble, files: this.#failed().length } : null;
  }

  /**
   * Has `write` bring a file to what is known now, in place of what it was to be brought to before. `write` throws when it cannot, and
   * may be called again then. Never throws.
   */
  save(path: string, write: () => void, urgency: Urgency = 'now'): void {
    const file = this.#fileOf(path);
    file.pending = write;
    if (urgency === 'soon' && !this.#isClosed && !this.#mayWrite(file)) {
      this.#wakeAt(performance.now() + budget.interval);
      return;
    }
    this.#write(path, file);
    if (!file.isFailed) this.#retry();
  }

  /** Whether the last change of a file has reached it. */
  isSaved(path: string): boolean {
    return this.#files.get(path)?.pending === undefined;
  }

  /** Writes all that is not written yet. False when some of it cannot be. */
  flush(): boolean {
    for (const [path, file] of this.#files) if (file.pending) this.#write(path, file);
    this.#settle();
    return this.#trouble === undefined;
  }

  /** Writes what is left to be written, for the last time. What is saved afterwards is tried once. */
  close(): void {
    this.#isClosed = true;
    this.flush();
    clearTimeout(this.#timer);
  }

  #fileOf(path: string): File {
    const known = this.#files.get(path);
    if (known) return known;
    this.#sweep();
    const file: File = { pending: undefined, isFailed: false, writes: 0, since: performance.now() };
    this.#files.set(path, file);
    return file;
  }

  /** Forgets files that are saved and have not been written for a while. */
  #sweep(): void {
    const now = performance.now();
    if (now - this.#sweptAt < sweepEvery) return;
    this.#sweptAt = now;
    for (const [path, file] of this.#files) {
      if (!file.pending && now - file.since >= budget.burst * budget.interval) this.#files.delete(path);
    }
  }

  #mayWrite(file: File): boolean {
    const passed = (performance.now() - file.since) / budget.interval;
    return file.writes - passed <= budget.burst - 1;
  }

  #write(path: string, file: File): void {
    const now = performance.now();
    file.writes = Math.max(0, file.writes - (now - file.since) / budget.interval) + 1;
    file.since = now;
    try {
      file.pending?.();
      file.pending = undefined;
      file.isFailed = false;
    } catch (error) {
      file.isFailed = true;
      this.#fail(path, error);
    }
  }

  #fail(path: string, error: unknown): void {
    if (this.#retryAt === Infinity) {
      this.#retryAt = performance.now() + this.#pause;
      this.#wakeAt(this.#retryAt);
    }
    if (this.#trouble) return;
    this.#trouble = { path, error: describeFailure(error), since: new Date().toISOString() };
    this.#emit(makeEvent('state.notSaved', { ...failureDetails(notSaved(path, error)), data: { path } }));
  }

  /** Where one file can be written again, others may be, too. */
  #retry(): void {
    if (!this.#trouble) return;
    for (const [path, file] of this.#failed()) this.#write(path, file);
    this.#settle();
  }

  #failed(): [string, File][] {
    return [...this.#files].filter(([, { isFailed }]) => isFailed);
  }

  #settle(): void {
    if (!this.#trouble || this.#failed().length > 0) return;
    const { path, since } = this.#trouble;
    this.#trouble = undefined;
    this.#pause = pauses.first;
    this.#retryAt = Infinity;
    const milliseconds = Date.now() - Date.parse(since);
    this.#emit(makeEvent('state.saved', { data: { path, milliseconds } }));
  }

  #wakeAt(time: number): void {
    if (this.#isClosed || this.#due <= time) return;
    clearTimeout(this.#timer);
    this.#due = time;
    this.#timer = setTimeout(() => this.#wake(), Math.max(1, Math.ceil(time - performance.now())));
    // A daemon that has nothing else to do ends, and closes this before.
    this.#timer.unref();
  }

  #wake(): void {
    this.#due = Infinity;
    const now = performance.now();
    const isRetry = now >= this.#retryAt;
    if (isRetry) {
      this.#retryAt = Infinity;
      this.#pause = Math.min(this.#pause * 2, pauses.longest);
    }
    for (const [path, file] of this.#files) {
      if (!file.pending) continue;
      if (file.isFailed ? isRetry : this.#mayWrite(file)) this.#write(path, file);
    }
    if (isRetry) this.#settle();
    if (this.#retryAt !== Infinity) this.#wakeAt(this.#retryAt);
    const isWaiting = [...this.#files.values()].some(({ pending, isFailed }) => pending && !isFailed);
    if (isWaiting) this.#wakeAt(performance.now() + budget.interval);
  }
}

const numbers = new Map(getSystemErrorMap().values());

/** As the system says it, without the call and the path that Node.js adds. */
export function describeFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const said = code === undefined ? undefined : numbers.get(code);
  return said === undefined ? message : `${code}: ${said}`;
}

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: 'make room there',
  EDQUOT: 'make room there, or raise the quota',
  EFBIG: 'raise the limit of this process on the size of files',
  EROFS: 'mount it writable again',
  EACCES: 'let this user write there',
  EPERM: 'let this user write there',
  EISDIR: 'remove the directory that is in the place of the file',
  ENOTDIR: 'remove what is in the place of the directory',
  ELOOP: 'remove the symbolic link that is in its place',
};

function notSaved(path: string, cause: unknown): PcibackError {
  const remedy =
    remedies[(cause as NodeJS.ErrnoException).code ?? ''] ?? 'see what is wrong with that file system';
  return new PcibackError(
    'STATE-NOT-SAVED',
    `state not saved: ${path}: ${describeFailure(cause)}; guests are served on, and it is tried again`,
    `${remedy}; until then a daemon that dies leaves older state to the next one`,
    { cause },
  );
}
