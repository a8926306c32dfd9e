/**
 * Small values that outlive the daemon: one file each. A value that cannot be written now is kept by the saver, and what is on disk
 * meanwhile is the value before it.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { type StateFiles, asideSuffix, stateFiles } from '../host/index.ts';
import { Saver, type Urgency } from './saver.ts';

/** Stands for a file that is not there. */
const absent = '';

export interface StoreOptions {
  readonly saver?: Saver;
  readonly files?: StateFiles;
}

export class FileStore<T> {
  readonly #directory: string;
  readonly #isValid: (value: unknown, key: string) => value is T;
  readonly #saver: Saver;
  readonly #files: StateFiles;
  /** What each file holds, as a digest, where that is known: what has not changed is not written again. */
  readonly #held = new Map<string, string>();
  /** Files that could not be understood: they are moved aside before something else takes their place. */
  readonly #damaged = new Set<string>();
  #isMade = false;

  /** The directory is made when something is first written. */
  constructor(
    directory: string,
    isValid: (value: unknown, key: string) => value is T,
    { saver = new Saver(), files = stateFiles }: StoreOptions = {},
  ) {
    this.#directory = directory;
    this.#isValid = isValid;
    this.#saver = saver;
    this.#files = files;
  }

  put(key: string, value: T, urgency?: Urgency): void {
    const path = this.#pathOf(key);
    const write = (): void => {
      const contents = pack(value);
      this.#bring(key, createHash('sha256').update(contents).digest('base64'), () =>
        this.#files.write(path, contents),
      );
    };
    this.#saver.save(path, write, urgency);
  }

  delete(key: string, urgency?: Urgency): void {
    const path = this.#pathOf(key);
    this.#saver.save(path, () => this.#bring(key, absent, () => this.#files.remove(path)), urgency);
  }

  /** Whether the last change of this value is on disk. */
  isSaved(key: string): boolean {
    return this.#saver.isSaved(this.#pathOf(key));
  }

  /**
   * Everything that is stored. A file that cannot be read or understood is passed to `onDamage` and left where it is; so is the
   * directory, as `.`, when it cannot be listed.
   */
  load(onDamage: (key: string, error: unknown) => void): Map<string, T> {
    const values = new Map<string, T>();
    for (const key of this.#keys(onDamage)) {
      if (key.endsWith('.new') || key.endsWith(asideSuffix)) continue;
      try {
        const value: unknown = unpack(this.#files.read(this.#pathOf(key)));
        if (!this.#isValid(value, key)) throw new Error('not a value of this kind');
        values.set(key, value);
      } catch (error) {
        this.#damaged.add(key);
        onDamage(key, error);
      }
    }
    return values;
  }

  #keys(onDamage: (key: string, error: unknown) => void): readonly string[] {
    try {
      return this.#files.list(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onDamage('.', error);
      return [];
    }
  }

  #bring(key: string, to: string, change: () => void): void {
    if (this.#held.get(key) === to) return;
    this.#held.delete(key);
    try {
      if (!this.#isMade) this.#files.makeDirectory(this.#directory);
      this.#isMade = true;
      if (this.#damaged.has(key)) this.#files.setAside(this.#pathOf(key));
      this.#damaged.delete(key);
      change();
    } catch (error) {
      this.#isMade = false;
      throw error;
    }
    this.#held.set(key, to);
  }

  #pathOf(key: string): string {
    return join(this.#directory, key);
  }
}
