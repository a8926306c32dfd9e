/** A configuration space while its rules are being put together: who has which byte. */
import { PcibackError } from '../errors.ts';
import { widthMask } from './image.ts';
import { ignored, register, type Register } from './register.ts';

/** The tables that the engine looks things up in; those without a comment have an element for each dword register. */
export interface RegisterTables {
  /** Every register that is known by name, with or without a rule, in ascending order. */
  readonly registers: readonly Register[];
  /** For each byte the index into `rules` of the register that decides on writes; 0 when none does. */
  readonly owner: Uint16Array;
  /** `rules[0]` stands for open ground, and has no rule. */
  readonly rules: readonly Register[];
  /** Bits that a read takes from the hardware. */
  readonly live: Uint32Array;
  /** What a read shows in the other bits, before a guest has changed anything. */
  readonly shown: Uint32Array;
  /** Bits that are cleared by writing one. */
  readonly clears: Uint32Array;
  /** Bits that are never forwarded as one. */
  readonly drops: Uint32Array;
  /** Those of them that ask for a reset. */
  readonly resets: Uint32Array;
}

const openGround = register('Open ground', 0, 1);

export class RegisterMap {
  readonly #length: number;
  readonly #named: Register[] = [];
  readonly #isNamed: Uint8Array;
  readonly #owner: Uint16Array;
  readonly #rules: Register[] = [openGround];
  readonly #live: Uint32Array;
  readonly #shown: Uint32Array;
  readonly #clears: Uint32Array;
  readonly #drops: Uint32Array;
  readonly #resets: Uint32Array;

  constructor(length: 256 | 4096) {
    this.#length = length;
    this.#isNamed = new Uint8Array(length);
    this.#owner = new Uint16Array(length);
    this.#live = new Uint32Array(length / 4).fill(0xffff_ffff);
    this.#shown = new Uint32Array(length / 4);
    this.#clears = new Uint32Array(length / 4);
    this.#drops = new Uint32Array(length / 4);
    this.#resets = new Uint32Array(length / 4);
  }

  /** Whether every register that has a rule lies inside the space, where nobody else has a rule. */
  hasRoomFor(registers: readonly Register[]): boolean {
    return registers.every((row) => row.rule === null || this.#isFree(row));
  }

  /** Adds registers. Those with a rule must have room; those without are no more than names and traits. */
  add(registers: readonly Register[]): void {
    for (const row of registers) {
      if (row.rule === null) this.#describe(row);
      else this.#claim(row);
    }
  }

  /**
   * Adds registers as far as there is room. Where a capability collides with another one - which only a broken or a hostile
   * function has - whatever is left of its registers can never be written.
   */
  seal(registers: readonly Register[]): void {
    for (const row of registers) {
      if (row.rule === null) this.#describe(row);
      else if (row.rule === ignored && this.#isFree(row)) this.#claim(row);
      else this.#sealBytes(row);
    }
  }

  /** Gives a range of open ground to the guest. Throws BAD-SPEC when it is not open. */
  addQuirk(quirk: Register, spelling: string): void {
    const { offset, size } = quirk;
    if (offset + size > this.#length) {
      throw new PcibackError(
        'BAD-SPEC',
        `quirk ${spelling}: the function has ${this.#length} bytes of configuration space`,
        'name a register inside it',
      );
    }
    const owner = this.#ownersOf(quirk)[0];
    if (owner) {
      throw new PcibackError(
        'BAD-SPEC',
        `quirk ${spelling}: ${owner.name} at 0x${owner.offset.toString(16).padStart(2, '0')} has a rule of its own`,
        'leave the quirk out, or name other registers',
      );
    }
    const shift = (offset & 3) << 3;
    const drops = (this.#drops[offset >>> 2] ?? 0) >>> shift;
    const clears = (this.#clears[offset >>> 2] ?? 0) >>> shift;
    this.#claim({
      ...quirk,
      name: [quirk.name, ...this.#openOver(quirk).map(({ name }) => name)].join(': '),
      reaches: (quirk.reaches & ~drops) >>> 0,
      clears: clears | drops,
    });
  }

  tables(): RegisterTables {
    return {
      registers: this.#named.sort((a, b) => a.offset - b.offset),
      owner: this.#owner,
      rules: this.#rules,
      live: this.#live,
      shown: this.#shown,
      clears: this.#clears,
      drops: this.#drops,
      resets: this.#resets,
    };
  }

  /** A defect of a rule table must not become a hole in the filter. */
  #claim(row: Register): void {
    const { name, offset, size } = row;
    if ((size !== 1 && size !== 2 && size !== 4) || offset % size !== 0 || !this.#isFree(row)) {
      throw new PcibackError(
        'INTERNAL',
        `${name} at 0x${offset.toString(16)} is misaligned, out of range or overlaps another register`,
        'report this',
      );
    }
    // Nothing is known any more of an open register that a rule takes bytes of.
    for (const covered of this.#openOver(row)) {
      this.#named.splice(this.#named.indexOf(covered), 1);
      this.#isNamed.fill(0, covered.offset, covered.offset + covered.size);
      this.#paint({ ...covered, live: -1 });
    }
    this.#owner.fill(this.#rules.push(row) - 1, offset, offset + size);
    this.#isNamed.fill(1, offset, offset + size);
    this.#named.push(row);
    this.#paint(row);
  }

  /** Traits of an open register always count; its name and what it shows, where nothing is known yet. */
  #describe(row: Register): void {
    const { offset, size } = row;
    if (offset + size > this.#length) return;
    const at = offset >>> 2;
    const shift = (offset & 3) << 3;
    this.#clears[at] = (this.#clears[at] ?? 0) | (row.clears << shift);
    this.#drops[at] = (this.#drops[at] ?? 0) | (row.drops << shift);
    this.#resets[at] = (this.#resets[at] ?? 0) | (row.resets << shift);
    if (this.#isNamed.subarray(offset, offset + size).some((named) => named !== 0)) return;
    this.#isNamed.fill(1, offset, offset + size);
    this.#named.push(row);
    this.#paint(row);
  }

  /** The open registers that share bytes with a row. */
  #openOver({ offset, size }: Register): readonly Register[] {
    return this.#named.filter(
      (row) => row.rule === null && row.offset < offset + size && row.offset + row.size > offset,
    );
  }

  #sealBytes({ name, offset, size }: Register): void {
    for (let at = offset; at < Math.min(offset + size, this.#length); at++) {
      const byte = register(name, at, 1, { rule: ignored });
      if (this.#isFree(byte)) this.#claim(byte);
    }
  }

  #paint({ offset, size, live, shown }: Register): void {
    const at = offset >>> 2;
    const shift = (offset & 3) << 3;
    const mask = widthMask(size) << shift;
    this.#live[at] = ((this.#live[at] ?? 0) & ~mask) | ((live << shift) & mask);
    this.#shown[at] = ((this.#shown[at] ?? 0) & ~mask) | ((shown << shift) & mask);
  }

  #isFree(row: Register): boolean {
    return row.offset + row.size <= this.#length && this.#ownersOf(row).length === 0;
  }

  #ownersOf({ offset, size }: Register): readonly Register[] {
    const indices = [...this.#owner.subarray(offset, offset + size)];
    return indices.flatMap((index) => (index === 0 ? [] : (this.#rules[index] ?? [])));
  }
}
