/**
 * Small values that outlive the daemon: one file each, replaced as a whole, so that whoever reads after a crash finds the
 * old value or the new one and never half of either.
 */
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack, unpack } from 'msgpackr';
import { makeDirectory } from './make-directory.ts';

export class FileStore<T> {
  readonly #directory: string;
  readonly #isValid: (value: unknown) => value is T;

  /** Opens the directory, making it if need be. Throws BAD-DIRECTORY. */
  constructor(directory: string, isValid: (value: unknown) => value is T) {
    this.#directory = directory;
    this.#isValid = isValid;
    makeDirectory(directory);
  }

  put(key: string, value: T): void {
    const file = join(this.#directory, key);
    writeFileSync(`${file}.new`, pack(value), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  delete(key: string): void {
    rmSync(join(this.#directory, key), { force: true });
  }

  /** Everything that is stored. A file that cannot be understood is passed to `onDamage` and left where it is. */
  load(onDamage: (key: string, error: unknown) => void): Map<string, T> {
    const values = new Map<string, T>();
    for (const key of readdirSync(this.#directory)) {
      if (key.endsWith('.new')) continue;
      try {
        const value: unknown = unpack(readFileSync(join(this.#directory, key)));
        if (!this.#isValid(value)) throw new Error('not a value of this kind');
        values.set(key, value);
      } catch (error) {
        onDamage(key, error);
      }
    }
    return values;
  }
}
