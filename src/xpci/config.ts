import type { Sbdf } from '../address.ts';
import { WireError } from '../ring/layout.ts';
import type { Requester } from './requests.ts';

/** How a front-end reaches registers: in their own width, or (NetBSD) in aligned double words only. */
export type AccessWidth = 'natural' | 'dword';

/** All bits of a register of `size` bytes. */
export const allOnes = (size: number): number => (size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1);

/**
 * The configuration space of one function as its guest sees it. A read that the back-end refuses gives all ones, which is
 * what a bus without an answering function gives.
 */
export class ConfigSpace {
  readonly address: Sbdf;
  readonly #requester: Requester;
  readonly #width: AccessWidth;

  constructor(requester: Requester, address: Sbdf, width: AccessWidth = 'natural') {
    this.#requester = requester;
    this.address = address;
    this.#width = width;
  }

  /** Reads `size` (1, 2 or 4) bytes at an offset that is a multiple of `size`. */
  read(offset: number, size: 1 | 2 | 4): number {
    if (this.#width === 'natural' || size === 4) return this.#read(offset, size);
    return ((this.#read(offset & ~3, 4) >>> (8 * (offset & 3))) & allOnes(size)) >>> 0;
  }

  /** Writes `size` bytes and returns the wire's error. In double words the neighbours are written back as they were read. */
  write(offset: number, size: 1 | 2 | 4, value: number): number {
    if (this.#width === 'natural' || size === 4)
      return this.#requester.configWrite(this.address, offset, size, value);
    const shift = 8 * (offset & 3);
    const mask = allOnes(size) << shift;
    const merged = (this.#read(offset & ~3, 4) & ~mask) | ((value << shift) & mask);
    return this.#requester.configWrite(this.address, offset & ~3, 4, merged);
  }

  #read(offset: number, size: 1 | 2 | 4): number {
    const err = this.#requester.configRead(this.address, offset, size);
    return err === WireError.success ? (this.#requester.value & allOnes(size)) >>> 0 : allOnes(size);
  }
}
