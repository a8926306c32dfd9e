/** What is noted in the records of hidden functions, each mapped for as long as its function is hidden: that cannot fail. */
import { join } from 'node:path';
import { type Sbdf, formatSbdf } from '../address.ts';
import { unmapFile } from '../host/index.ts';
import type { Platform } from '../host/platform.ts';
import { type Life, readLife, writeLife } from './life-note.ts';
import type { StateDirectory } from './state-directory.ts';

export class LifeNotes {
  readonly #platform: Pick<Platform, 'mapRecord'>;
  readonly #state: StateDirectory;
  readonly #unmap: (record: ArrayBuffer) => void;
  readonly #mapped = new Map<Sbdf, ArrayBuffer>();

  constructor(platform: Pick<Platform, 'mapRecord'>, state: StateDirectory, unmap = unmapFile) {
    this.#platform = platform;
    this.#state = state;
    this.#unmap = unmap;
  }

  /** What was noted last of a function; undefined when its record cannot be had, or nothing was noted. */
  lifeOf(sbdf: Sbdf): Life | undefined {
    const record = this.#of(sbdf);
    return record && readLife(record);
  }

  /** Notes where a function stands. A record that cannot be had now is tried again, as files are that cannot be written. */
  note(sbdf: Sbdf, life: Life): void {
    const record = this.#mapped.get(sbdf);
    if (record) writeLife(record, life);
    else this.#state.saver.save(this.#pathOf(sbdf), () => writeLife(this.#map(sbdf), life));
  }

  /** Lets go of the record of a function that is not hidden any more. */
  forget(sbdf: Sbdf): void {
    const record = this.#mapped.get(sbdf);
    this.#mapped.delete(sbdf);
    if (record) this.#unmap(record);
  }

  #of(sbdf: Sbdf): ArrayBuffer | undefined {
    try {
      return this.#map(sbdf);
    } catch {
      return undefined;
    }
  }

  #map(sbdf: Sbdf): ArrayBuffer {
    const record = this.#mapped.get(sbdf) ?? this.#platform.mapRecord(sbdf);
    this.#mapped.set(sbdf, record);
    return record;
  }

  #pathOf(sbdf: Sbdf): string {
    return join(this.#state.path, 'record', formatSbdf(sbdf));
  }
}
