/**
 * Files of configuration-space vectors: what a function is made of, what is done to it, and what must come of it. Everything
 * that is not as it should be is reported with the place where it stands.
 */
import { PcibackError } from '../errors.ts';
import type { AccessSize, Resource } from './access.ts';
import { CapabilityId } from './bits.ts';
import { findCapability } from './capabilities.ts';
import { type Image, wordAt } from './image.ts';
import { defaultMode, type FilterMode } from './mode.ts';
import type { Content } from './ram.ts';
import type { FunctionIdentity } from './seize.ts';

export interface VectorStep {
  readonly id: string;
  readonly op: 'read' | 'write';
  /** Signed 32-bit numbers, as on the wire; nothing says that they make sense. */
  readonly offset: number;
  readonly size: number;
  readonly value: number;
  readonly err: number;
  /** What a read gives, as far as `size` goes; undefined when it does not matter. */
  readonly result: number | undefined;
  /** What the hardware holds afterwards where it was written; undefined when it does not matter. */
  readonly hardware: readonly Content[] | undefined;
}

export interface VectorSequence {
  readonly name: string;
  readonly identity: FunctionIdentity;
  /** The space before the function is seized: 256 or 4096 bytes. */
  readonly config: Image;
  readonly mode: FilterMode;
  /** Put into the hardware after seizing. */
  readonly hardwareBefore: readonly Content[];
  readonly steps: readonly VectorStep[];
}

/** Reads a vector file. Throws BAD-FILE; `file` is what the message calls it. */
export function parseVectors(text: string, file: string): readonly VectorSequence[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw bad(file, `is not JSON: ${(error as Error).message}`);
  }
  return new Reader(json, file).list((sequence) => sequence.sequence());
}

const bad = (place: string, what: string): PcibackError =>
  new PcibackError('BAD-FILE', `${place} ${what}`, 'give an array of configuration-space vectors');

const kinds = ['memory32', 'memory64', 'io', 'rom'] as const;

/** A value of the file together with where it stands: `file[2].steps[0].offset`. */
class Reader {
  readonly #value: unknown;
  readonly #place: string;

  constructor(value: unknown, place: string) {
    this.#value = value;
    this.#place = place;
  }

  sequence(): VectorSequence {
    const what = this.at('function');
    const config = what.at('config').image();
    const virtual = what.at('virtualFunction').flag();
    const ids = what.at('knownIds');
    const mode = this.at('mode');
    return {
      name: this.at('name').text(),
      config,
      identity: {
        vendor: ids.isAbsent ? wordAt(config, 0) : ids.at('vendor').number(),
        device: ids.isAbsent ? wordAt(config, 2) : ids.at('device').number(),
        resources: what.at('resources').optionalList((resource) => resource.resource()) ?? [],
        irq: what.at('irq').isAbsent ? 0 : what.at('irq').number(),
        physicalFunction: virtual ? 0 : null,
      },
      mode: mode.isAbsent
        ? defaultMode
        : {
            permissive: mode.at('permissive').flag(),
            interruptControl: mode.at('interruptControl').flag(),
            quirks: [],
          },
      hardwareBefore: this.at('hardwareBefore').optionalList((poke) => poke.content(config.length)) ?? [],
      steps: this.at('steps').list((step) => step.step(config.length)),
    };
  }

  step(length: number): VectorStep {
    const op = this.at('op').oneOf(['read', 'write'] as const);
    const result = this.at('result');
    return {
      id: this.at('id').text(),
      op,
      offset: this.at('offset').number() | 0,
      size: this.at('size').number() | 0,
      value: op === 'write' ? this.at('value').number() : 0,
      err: this.at('err').number(),
      result: result.isAbsent ? undefined : result.number(),
      hardware: this.at('hardware').optionalList((content) => content.content(length)),
    };
  }

  content(length: number): Content {
    const offset = this.at('offset').number();
    const size = this.at('size').oneOf([1, 2, 4] as const satisfies readonly AccessSize[]);
    if (offset < 0 || offset % size !== 0 || offset + size > length) {
      throw this.at('offset').#bad(`is not an aligned offset below ${length}`);
    }
    return { offset, size, value: this.at('value').number() };
  }

  resource(): Resource {
    const index = this.at('index').number();
    if (!Number.isInteger(index) || index < 0 || index > 6) throw this.at('index').#bad('is not 0 to 6');
    return {
      index,
      kind: this.at('kind').oneOf(kinds),
      prefetchable: this.at('prefetchable').flag(),
      start: this.at('start').bigint(),
      size: this.at('size').bigint(),
    };
  }

  /** Rows of 16 bytes, by their offset in hexadecimal. The space is as large as the function makes it. */
  image(): Image {
    const image = new Uint8Array(4096);
    let extended = false;
    for (const [key, row] of this.#entries()) {
      const offset = /^(?:0x)?[0-9a-f]{1,3}$/i.test(key) ? Number.parseInt(key, 16) : -1;
      if (offset % 16 !== 0) throw row.#bad('is not named by the offset of a row');
      const digits = row.text().replaceAll(/\s/g, '');
      if (!/^[0-9a-f]{32}$/i.test(digits)) throw row.#bad('is not 16 bytes in hexadecimal');
      for (let byte = 0; byte < 16; byte++) {
        image[offset + byte] = Number.parseInt(digits.slice(2 * byte, 2 * byte + 2), 16);
      }
      extended ||= offset >= 256;
    }
    extended ||= findCapability(image, CapabilityId.pciExpress) !== undefined;
    return extended ? image : image.slice(0, 256);
  }

  get isAbsent(): boolean {
    return this.#value === undefined;
  }

  at(key: string): Reader {
    if (typeof this.#value !== 'object' || this.#value === null || Array.isArray(this.#value)) {
      throw this.#bad('is not an object');
    }
    return new Reader((this.#value as Record<string, unknown>)[key], `${this.#place}.${key}`);
  }

  list<T>(read: (element: Reader) => T): readonly T[] {
    if (!Array.isArray(this.#value)) throw this.#bad('is not an array');
    return this.#value.map((element: unknown, index) =>
      read(new Reader(element, `${this.#place}[${index}]`)),
    );
  }

  optionalList<T>(read: (element: Reader) => T): readonly T[] | undefined {
    return this.isAbsent ? undefined : this.list(read);
  }

  text(): string {
    if (typeof this.#value !== 'string') throw this.#bad('is not a string');
    return this.#value;
  }

  flag(): boolean {
    if (this.isAbsent) return false;
    if (typeof this.#value !== 'boolean') throw this.#bad('is not true or false');
    return this.#value;
  }

  /** A number of at most 32 bits, signed or not: as it is, or as text with or without `0x`. */
  number(): number {
    const value = typeof this.#value === 'number' ? this.#value : Number(this.bigint());
    if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
      throw this.#bad('is not a number of 32 bits');
    }
    return value;
  }

  bigint(): bigint {
    const match = /^(-?)(0x[0-9a-f]+|[0-9]+)$/i.exec(typeof this.#value === 'string' ? this.#value : '');
    if (!match) throw this.#bad('is not a number');
    const magnitude = BigInt(match[2] ?? '');
    return match[1] === '-' ? -magnitude : magnitude;
  }

  oneOf<const T extends string | number>(values: readonly T[]): T {
    const found = values.find((value) => value === this.#value);
    if (found === undefined) throw this.#bad(`is none of ${values.join(', ')}`);
    return found;
  }

  #entries(): readonly (readonly [string, Reader])[] {
    if (typeof this.#value !== 'object' || this.#value === null) throw this.#bad('is not an object');
    return Object.keys(this.#value).map((key) => [key, this.at(key)]);
  }

  #bad(what: string): PcibackError {
    return bad(this.#place, this.isAbsent ? 'is missing' : what);
  }
}
