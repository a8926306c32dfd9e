/** Configuration spaces without a device behind them: plain memory that keeps what is written. */
import type { AccessSize, ConfigAccess } from './access.ts';
import type { Image } from './image.ts';

export class RamConfig implements ConfigAccess {
  readonly length: 256 | 4096;
  readonly #view: DataView;

  /** A copy of `image`; what it lacks is zero. */
  constructor(image: Image, length: 256 | 4096 = image.length > 256 ? 4096 : 256) {
    const bytes = new Uint8Array(length);
    bytes.set(image.subarray(0, length));
    this.length = length;
    this.#view = new DataView(bytes.buffer);
  }

  read(offset: number, size: AccessSize): number {
    if (size === 4) return this.#view.getUint32(offset, true);
    return size === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint8(offset);
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size === 4) this.#view.setUint32(offset, value, true);
    else if (size === 2) this.#view.setUint16(offset, value, true);
    else this.#view.setUint8(offset, value);
  }
}

/** One register's worth of bytes. */
export interface Content {
  readonly offset: number;
  readonly size: AccessSize;
  readonly value: number;
}

/** Passes everything on to other hardware, and remembers what was written. */
export class WriteLog implements ConfigAccess {
  readonly #hardware: ConfigAccess;
  readonly #written = new Map<string, { readonly offset: number; readonly size: AccessSize }>();

  constructor(hardware: ConfigAccess) {
    this.#hardware = hardware;
  }

  get length(): 256 | 4096 {
    return this.#hardware.length;
  }

  read(offset: number, size: AccessSize): number {
    return this.#hardware.read(offset, size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#written.set(`${offset}/${size}`, { offset, size });
    this.#hardware.write(offset, size, value);
  }

  /** What the registers that were written since the last call hold now. */
  take(): readonly Content[] {
    const contents = [...this.#written.values()].map(({ offset, size }) => ({
      offset,
      size,
      value: this.#hardware.read(offset, size),
    }));
    this.#written.clear();
    return contents;
  }
}
