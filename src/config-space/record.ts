/**
 * What requests have changed of a function's state, in 8192 bytes of fixed layout. The bytes are a mapped file: a store is
 * enough to make a change outlive the process, and storing costs no system call.
 *
 *      byte                                                                                   bytes
 *     0x000  magic "PCIB" | layout version | generation | command register's shadow         16
 *     0x010  enabled | sizing, a bit per BAR | reset wanted | interrupts                    16
 *     0x020  vectors held | context lost | unused                                           32
 *     0x040  reads | writes | denied writes | failed interrupt requests   (float64)         32
 *     0x060  where the function stands, as the control plane has noted it last (float64)   8
 *     0x068  unused                                                                        152
 *     0x100  pirq of each vector held                                     (uint32)         512
 *     0x300  MSI-X table entry of each vector held                        (uint16)         256
 *     0x400  bytes that the guest wrote since the context was lost, a bit each              512
 *     0x600  unused                                                                        512
 *     0x800  denied writes of each dword register, no further than 65535  (uint16)        2048
 *    0x1000  bits of each dword register that such writes asked to change (uint32)        4096
 *
 * A process can be killed between any two stores. What keeps the record usable:
 * - every field is one aligned store, and fields that belong together share a word: `interrupts` holds the kind of
 *   interrupt in use and the request that granted it;
 * - effects come in the order hardware, record, answer. A pending request is simply run again by the next process, and comes
 *   to the same result, since writes compare with what is there before they act;
 * - the exception is a request for interrupts, which is refused when they are on already. So the word that says that
 *   they are on also names the request that did it, until its answer is known to be out. A request of that kind which finds
 *   the mark is the same request, run again, and is answered from the record;
 * - each vector is noted as soon as the hypervisor has given it, before it is in use. Vectors in a record that says that
 *   no interrupts are on are the leftovers of a request that was cut short, and are given back. Only a vector that is given in
 *   the very moment of the kill is noted nowhere: its number is not known before, Xen tells nobody which ones a domain holds, and
 *   to try them all could take one from somebody else. The domain keeps it until it ends.
 */
import type { ReadTable } from './access.ts';

const magic = 0x42494350;
const version = 2;

/** Bytes of one record. */
export const recordSize = 8192;
/** Vectors that one function can hold: what one request can ask for. */
export const maxVectors = 128;

const Word = {
  magic: 0,
  version: 1,
  generation: 2,
  commandShadow: 3,
  enabled: 4,
  sizing: 5,
  resetting: 6,
  interrupts: 7,
  vectors: 8,
  contextLost: 9,
} as const;
const Counter = { reads: 0, writes: 1, denied: 2, failures: 3 } as const;

const counterBytes = 0x040;
const lifeBytes = 0x060;
const pirqBytes = 0x100;
const entryBytes = 0x300;
const ownBytes = 0x400;
const denialBytes = 0x800;
const refusalBytes = 0x1000;
const dwordRegisters = 1024;
const mostDenials = 0xffff;

/** Which kind of message-signalled interrupt a function uses on behalf of its guest. */
export const InterruptKind = { none: 0, msi: 1, msix: 2 } as const;
export type InterruptKind = (typeof InterruptKind)[keyof typeof InterruptKind];

/**
 * One aligned word that belongs to the control plane, and stays when the record is started afresh: it says to whom the function belongs,
 * also in a record in which no guest has changed anything yet.
 */
export const lifeWord = (buffer: ArrayBuffer): Float64Array => new Float64Array(buffer, lifeBytes, 1);

export class FunctionRecord {
  readonly #words: Uint32Array;
  readonly #counters: Float64Array;
  readonly #pirqs: Uint32Array;
  readonly #entries: Uint16Array;
  readonly #own: Uint8Array;
  readonly #denials: Uint16Array;
  readonly #refusals: Int32Array;

  /** Where `resetting` and `reads` are, for who reads and counts without this object. */
  readonly shared: Pick<ReadTable, 'resetting' | 'reads'>;

  private constructor(buffer: ArrayBuffer) {
    this.#words = new Uint32Array(buffer, 0, counterBytes / 4);
    this.#counters = new Float64Array(buffer, counterBytes, 4);
    this.#pirqs = new Uint32Array(buffer, pirqBytes, maxVectors);
    this.#entries = new Uint16Array(buffer, entryBytes, maxVectors);
    this.#own = new Uint8Array(buffer, ownBytes, (4 * dwordRegisters) / 8);
    this.#denials = new Uint16Array(buffer, denialBytes, dwordRegisters);
    this.#refusals = new Int32Array(buffer, refusalBytes, dwordRegisters);
    this.shared = {
      resetting: this.#words.subarray(Word.resetting, Word.resetting + 1),
      reads: this.#counters.subarray(Counter.reads, Counter.reads + 1),
    };
  }

  /** Starts a record afresh in `buffer` (at least 8192 bytes), for a function whose command register reads `command`. */
  static create(buffer: ArrayBuffer, command: number): FunctionRecord {
    const record = new FunctionRecord(buffer);
    record.reset(command);
    return record;
  }

  /** Goes on with the record that an earlier process left in `buffer`; undefined when there is none of this layout. */
  static adopt(buffer: ArrayBuffer): FunctionRecord | undefined {
    const record = new FunctionRecord(buffer);
    return record.#get(Word.magic) === magic && record.#get(Word.version) === version ? record : undefined;
  }

  /** Forgets everything about the guest: nothing that one guest did is visible to the next. */
  reset(command: number): void {
    const generation = this.#get(Word.magic) === magic ? this.generation + 1 : 1;
    // Without the magic there is no record: one that was cut short here is started again, not adopted.
    this.#words.fill(0);
    this.#counters.fill(0);
    this.#pirqs.fill(0);
    this.#entries.fill(0);
    this.#own.fill(0);
    this.#denials.fill(0);
    this.#refusals.fill(0);
    this.commandShadow = command;
    this.#words[Word.generation] = generation;
    this.#words[Word.version] = version;
    this.#words[Word.magic] = magic;
  }

  /** How many times this record was started: tells one guest's state from the next one's. */
  get generation(): number {
    return this.#get(Word.generation);
  }

  /** The 16 bits that the guest last wrote to the command register. */
  get commandShadow(): number {
    return this.#get(Word.commandShadow);
  }
  set commandShadow(value: number) {
    this.#words[Word.commandShadow] = value;
  }

  /** The guest has address decoding switched on. */
  get enabled(): boolean {
    return this.#get(Word.enabled) !== 0;
  }
  set enabled(value: boolean) {
    this.#words[Word.enabled] = value ? 1 : 0;
  }

  /** A bit for each BAR (6 for the expansion ROM) that reads as its size rather than as its address. */
  get sizing(): number {
    return this.#get(Word.sizing);
  }
  set sizing(value: number) {
    this.#words[Word.sizing] = value;
  }

  /** The guest asked for a function-level reset that is not finished. */
  get resetting(): boolean {
    return this.#get(Word.resetting) !== 0;
  }
  set resetting(value: boolean) {
    this.#words[Word.resetting] = value ? 1 : 0;
  }

  /**
   * The function forgot its registers on the way out of D3hot, or may have by the time that a killed process had got to, and they are not
   * restored: no address decoding and no bus mastering before they are.
   */
  get contextLost(): boolean {
    return this.#get(Word.contextLost) !== 0;
  }

  /** Set before the write that makes the function forget. */
  loseContext(): void {
    this.#own.fill(0);
    this.#words[Word.contextLost] = 1;
  }

  contextRestored(): void {
    this.#words[Word.contextLost] = 0;
  }

  /** The guest has written these bytes to the hardware itself; while the context is lost, that is for the restore to respect. */
  noteOwn(offset: number, size: number): void {
    for (let at = offset; at < offset + size; at++) {
      this.#own[at >>> 3] = (this.#own[at >>> 3] ?? 0) | (1 << (at & 7));
    }
  }

  /** Whether the guest has written any of these bytes since the context was lost. */
  isOwn(offset: number, size: number): boolean {
    for (let at = offset; at < offset + size; at++) {
      if ((((this.#own[at >>> 3] ?? 0) >>> (at & 7)) & 1) !== 0) return true;
    }
    return false;
  }

  get interruptKind(): InterruptKind {
    return (this.#get(Word.interrupts) & 0xff) as InterruptKind;
  }

  /** The command that switched interrupts on, for as long as its answer may not have reached the guest; else 0. */
  get unanswered(): number {
    return this.#get(Word.interrupts) >>> 8;
  }

  /** Interrupts of this kind are on, because of the request `command`. */
  grant(kind: InterruptKind, command: number): void {
    this.#words[Word.interrupts] = kind | (command << 8);
  }

  /** The answer to the request that switched interrupts on is out. */
  answered(): void {
    this.#words[Word.interrupts] = this.interruptKind;
  }

  /** Interrupts are off, and no vectors held. */
  revoked(): void {
    this.#words[Word.interrupts] = InterruptKind.none;
  }

  /** Vectors held, 0..128. */
  get vectors(): number {
    return Math.min(this.#get(Word.vectors), maxVectors);
  }
  /** Pirq of the vector at `index`, as the guest knows it. */
  pirq(index: number): number {
    return this.#pirqs[index] ?? 0;
  }
  /** MSI-X table entry of the vector at `index`. */
  entry(index: number): number {
    return this.#entries[index] ?? 0;
  }
  addVector(entry: number, pirq: number): void {
    const count = this.vectors;
    this.#pirqs[count] = pirq;
    this.#entries[count] = entry;
    this.#words[Word.vectors] = count + 1;
  }
  removeLastVector(): void {
    this.#words[Word.vectors] = Math.max(this.vectors - 1, 0);
  }

  get reads(): number {
    return this.#counters[Counter.reads] ?? 0;
  }
  get writes(): number {
    return this.#counters[Counter.writes] ?? 0;
  }
  get denied(): number {
    return this.#counters[Counter.denied] ?? 0;
  }
  /** Requests for interrupts that were refused or failed. */
  get failures(): number {
    return this.#counters[Counter.failures] ?? 0;
  }
  countRead(): void {
    this.#counters[Counter.reads] = this.reads + 1;
  }
  countWrite(): void {
    this.#counters[Counter.writes] = this.writes + 1;
  }
  countFailure(): void {
    this.#counters[Counter.failures] = this.failures + 1;
  }

  /** Denied writes of the dword register that holds the byte at `offset`: exact up to 65534, 65535 means that or more. */
  deniedAt(offset: number): number {
    return this.#denials[offset >>> 2] ?? 0;
  }
  countDenied(offset: number): void {
    this.#counters[Counter.denied] = this.denied + 1;
    const times = this.deniedAt(offset);
    if (times < mostDenials) this.#denials[offset >>> 2] = times + 1;
  }

  /**
   * Bits of the dword register that holds the byte at `offset` which denied writes asked to change, where that takes no more
   * than a quirk: in registers without a rule, and outside of the mask of a quirk. Unsigned.
   */
  refusedAt(offset: number): number {
    return (this.#refusals[offset >>> 2] ?? 0) >>> 0;
  }
  /** `bits` are those of the register that begins at `offset`. */
  noteRefused(offset: number, bits: number): void {
    const register = offset >>> 2;
    this.#refusals[register] = (this.#refusals[register] ?? 0) | (bits << ((offset & 3) << 3));
  }

  #get(word: number): number {
    return this.#words[word] ?? 0;
  }
}
