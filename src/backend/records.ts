/** The records of functions as the main thread sees them: their workers count into the same memory. */
import type { Snapshot } from 'xstate';
import type { Sbdf } from '../address.ts';
import { FunctionRecord } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import { type Platform, unmapFile } from '../host/index.ts';
import type { Registry } from './registry.ts';

interface Mapped {
  readonly buffer: ArrayBuffer;
  /** Where the function stood when its record was mapped. */
  readonly snapshot: Snapshot<unknown>;
}

/** Each is mapped when somebody first asks for it, and stays mapped until its function changes hands or is hidden no more. */
export class Records {
  readonly #platform: Pick<Platform, 'mapRecord'>;
  readonly #registry: Registry;
  readonly #mapped = new Map<Sbdf, Mapped>();

  constructor(platform: Pick<Platform, 'mapRecord'>, registry: Registry) {
    this.#platform = platform;
    this.#registry = registry;
    registry.forgotten$.subscribe((sbdf) => this.#unmap(sbdf));
  }

  /**
   * The record of a hidden function; undefined while there is nothing in it, or no such function.
   * @throws PcibackError BAD-DIRECTORY, OUT-OF-RESOURCES
   */
  of(sbdf: Sbdf): FunctionRecord | undefined {
    const entry = this.#registry.get(sbdf);
    if (!entry) return undefined;
    const known = this.#mapped.get(sbdf);
    if (known?.snapshot === entry.snapshot) return FunctionRecord.adopt(known.buffer);
    // Mapped first, so that what is mapped already is mapped no second time. The worker may have made another file meanwhile.
    const buffer = this.#platform.mapRecord(sbdf);
    this.#unmap(sbdf);
    this.#mapped.set(sbdf, { buffer, snapshot: entry.snapshot });
    return FunctionRecord.adopt(buffer);
  }

  /** The same, where no record is needed: null when it cannot be mapped now. */
  ifAny(sbdf: Sbdf): FunctionRecord | null | undefined {
    try {
      return this.of(sbdf);
    } catch (error) {
      if (error instanceof PcibackError) return null;
      throw error;
    }
  }

  close(): void {
    for (const sbdf of this.#mapped.keys()) this.#unmap(sbdf);
  }

  #unmap(sbdf: Sbdf): void {
    const known = this.#mapped.get(sbdf);
    this.#mapped.delete(sbdf);
    if (known) unmapFile(known.buffer);
  }
}
