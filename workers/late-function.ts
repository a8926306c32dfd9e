import { type Sbdf, formatSbdf } from '../src/address.ts';
import type { AccessSize } from '../src/config-space/index.ts';
import { PcibackError } from '../src/errors.ts';
import type { FunctionFacts, HostFunction } from '../src/host/platform.ts';

/**
 * A function that an earlier worker began to reset, and that the kernel is not done with: whoever opens it now waits as long. It does not
 * answer until then, and is opened afterwards.
 */
export class LateFunction implements HostFunction {
  readonly sbdf: Sbdf;
  readonly length: 256 | 4096;
  readonly #open: () => HostFunction;
  readonly #end: Promise<void>;
  #opened: HostFunction | undefined;
  #isClosed = false;

  /** `end`: the reset is over. */
  constructor(sbdf: Sbdf, length: 256 | 4096, end: Promise<void>, open: () => HostFunction) {
    this.sbdf = sbdf;
    this.length = length;
    this.#open = open;
    this.#end = end;
    this.ready().catch(() => undefined);
  }

  /** Resolves when it can be worked with. Rejects with what keeps it from being opened. */
  async ready(): Promise<void> {
    await this.#end;
    if (!this.#isClosed) this.#opened ??= this.#open();
  }

  get facts(): FunctionFacts {
    return this.#present.facts;
  }

  get resetMethods(): readonly string[] {
    return this.#present.resetMethods;
  }

  get file(): unknown {
    return this.#opened?.file;
  }

  read(offset: number, size: AccessSize): number {
    if (this.#opened) return this.#opened.read(offset, size);
    return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#opened?.write(offset, size, value);
  }

  async reset(method: string): Promise<void> {
    await this.#present.reset(method);
  }

  restoreVectors(): void {
    this.#opened?.restoreVectors();
  }

  close(): void {
    this.#isClosed = true;
    this.#opened?.close();
    this.#opened = undefined;
  }

  get #present(): HostFunction {
    if (this.#opened) return this.#opened;
    throw new PcibackError(
      'RESET-FAILED',
      `${formatSbdf(this.sbdf)} is gone`,
      'see whether it is still plugged in',
    );
  }
}
