import { join } from 'node:path';
import type { StateFiles } from '../../src/host/state-files.ts';

export const failure = (code: string): Error => Object.assign(new Error(`${code}: it is`), { code });

/** A state directory in memory, on which operations that change something can be made to fail. */
export class Disk implements StateFiles {
  readonly contents = new Map<string, Uint8Array>();
  /** Operations that change something, so far. */
  changes = 0;
  /** What the operation with this number fails with, if it does. */
  fails: (change: number) => string | undefined = () => undefined;

  makeDirectory(): void {
    this.#change(() => undefined);
  }

  list(directory: string): readonly string[] {
    const inside = [...this.contents.keys()].filter((path) => path.startsWith(`${directory}/`));
    return inside.map((path) => path.slice(directory.length + 1));
  }

  read(path: string): Uint8Array {
    const contents = this.contents.get(path);
    if (!contents) throw failure('ENOENT');
    return contents;
  }

  write(path: string, contents: Uint8Array): void {
    this.#change(() => this.contents.set(path, contents.slice()));
  }

  remove(path: string): void {
    this.#change(() => this.contents.delete(path));
  }

  setAside(path: string): void {
    const contents = this.read(path);
    this.#change(() => {
      this.contents.delete(path);
      this.contents.set(join(`${path}.damaged`), contents);
    });
  }

  #change(work: () => void): void {
    const code = this.fails(++this.changes);
    if (code) throw failure(code);
    work();
  }
}
