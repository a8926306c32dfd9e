/**
 * The requests that a front-end makes of its back-end, one at a time, as Linux's pcifront does: fill in a request, hand it
 * to the channel, read the answer from the same words.
 */
import { busOf, devfnOf, segmentOf, type Sbdf } from '../address.ts';
import { Command, maxMsixEntries, opSize, OpWord, WireError } from '../ring/layout.ts';

/** The front-end's end of the shared page and its event channel. */
export interface RequestChannel {
  /**
   * Publishes the 137 words of `op` (in the order of `OpWord`), waits for the answer and copies it back into `op`. Returns
   * `err`, or `null` when no answer came in time and the request was withdrawn.
   */
  exchange(op: Int32Array): number | null;
}

/** A request with every field free, also for values that no honest front-end sends. All fields are 32 bits wide. */
export interface RawRequest {
  readonly cmd: number;
  readonly domain?: number;
  readonly bus?: number;
  readonly devfn?: number;
  readonly offset?: number;
  readonly size?: number;
  readonly value?: number;
  readonly info?: number;
  /** MSI-X table entry numbers; at most 128 fit into the page. */
  readonly entries?: readonly number[];
}

/** `err` is null when the back-end did not answer in time. */
export interface RawAnswer {
  readonly err: number | null;
  /** Unsigned. */
  readonly value: number;
}

/** The fields by which a request names a function. */
export const requestAddress = (
  address: Sbdf,
): { readonly domain: number; readonly bus: number; readonly devfn: number } => ({
  domain: segmentOf(address),
  bus: busOf(address),
  devfn: devfnOf(address),
});

export class Requester {
  readonly #channel: RequestChannel;
  readonly #op = new Int32Array(opSize / Int32Array.BYTES_PER_ELEMENT);
  #sent = 0;
  #lost = 0;

  constructor(channel: RequestChannel) {
    this.#channel = channel;
  }

  /** Requests made so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Requests that were never answered. */
  get lost(): number {
    return this.#lost;
  }

  /** The `value` field as the last answer left it, unsigned. Bits above the width that was asked for mean nothing. */
  get value(): number {
    return (this.#op[OpWord.value] ?? 0) >>> 0;
  }

  /** Reads 1, 2 or 4 bytes; returns `err`, and leaves what was read in `value`. */
  configRead(address: Sbdf, offset: number, size: number): number {
    this.#fill(Command.confRead, address);
    this.#op[OpWord.offset] = offset;
    this.#op[OpWord.size] = size;
    return this.#exchange() ?? WireError.deviceNotFound;
  }

  /** Writes 1, 2 or 4 bytes; returns `err`. Success does not tell a write that was performed from one that was dropped. */
  configWrite(address: Sbdf, offset: number, size: number, value: number): number {
    this.#fill(Command.confWrite, address);
    this.#op[OpWord.offset] = offset;
    this.#op[OpWord.size] = size;
    this.#op[OpWord.value] = value;
    return this.#exchange() ?? WireError.deviceNotFound;
  }

  /** Asks for the single MSI vector; returns `err`, and leaves its pirq in `value`. */
  enableMsi(address: Sbdf): number {
    return this.#command(Command.enableMsi, address);
  }

  /** Gives the MSI vector back; `value` is then the pirq of the legacy interrupt, 0 when there is none. */
  disableMsi(address: Sbdf): number {
    return this.#command(Command.disableMsi, address);
  }

  /** Asks for a vector for each table entry named (at most 128). Returns `err` and, in the same order, the pirqs. */
  enableMsix(
    address: Sbdf,
    entries: readonly number[],
  ): { readonly err: number; readonly vectors: readonly number[] } {
    const { err } = this.send({
      cmd: Command.enableMsix,
      ...requestAddress(address),
      value: entries.length,
      entries,
    });
    const vectors = entries.map((_, i) => (this.#op[OpWord.msixEntries + i] ?? 0) & 0xffff);
    return { err: err ?? WireError.deviceNotFound, vectors };
  }

  /** Gives all MSI-X vectors back; `value` is then the pirq of the legacy interrupt, 0 when there is none. */
  disableMsix(address: Sbdf): number {
    return this.#command(Command.disableMsix, address);
  }

  /** Sends exactly what it is given. */
  send(request: RawRequest): RawAnswer {
    const op = this.#op.fill(0);
    op[OpWord.cmd] = request.cmd;
    op[OpWord.domain] = request.domain ?? 0;
    op[OpWord.bus] = request.bus ?? 0;
    op[OpWord.devfn] = request.devfn ?? 0;
    op[OpWord.offset] = request.offset ?? 0;
    op[OpWord.size] = request.size ?? 0;
    op[OpWord.value] = request.value ?? 0;
    op[OpWord.info] = request.info ?? 0;
    request.entries?.slice(0, maxMsixEntries).forEach((entry, i) => {
      op[OpWord.msixEntries + i] = entry << 16;
    });
    const err = this.#exchange();
    return { err, value: this.value };
  }

  #command(cmd: number, address: Sbdf): number {
    this.#fill(cmd, address);
    return this.#exchange() ?? WireError.deviceNotFound;
  }

  #fill(cmd: number, address: Sbdf): void {
    const op = this.#op;
    op[OpWord.cmd] = cmd;
    op[OpWord.err] = 0;
    op[OpWord.domain] = segmentOf(address);
    op[OpWord.bus] = busOf(address);
    op[OpWord.devfn] = devfnOf(address);
    op[OpWord.offset] = 0;
    op[OpWord.size] = 0;
    op[OpWord.value] = 0;
  }

  #exchange(): number | null {
    this.#sent += 1;
    const err = this.#channel.exchange(this.#op);
    if (err === null) this.#lost += 1;
    return err;
  }
}
