/** A guest's PCI bus: the functions it found, and what its drivers do with them. */
import { formatSbdf, type Sbdf } from '../address.ts';
import { maxMsixEntries, WireError } from '../ring/layout.ts';
import { ConfigSpace, type AccessWidth } from './config.ts';
import { enumerateIfPresent, type GuestFunction } from './enumerate.ts';
import { CommandBit, Register } from './registers.ts';
import type { Requester } from './requests.ts';
import { scanBuses, type RootBus } from './scan.ts';

/** How the interrupts of a function reach the guest, and the pirqs it binds for them. */
export interface InterruptState {
  readonly mode: 'none' | 'intx' | 'msi' | 'msix';
  readonly vectors: readonly number[];
}

/** The back-end answered a request with an error, or with an answer that cannot be used. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused';
  /** One of the errors of the wire; 0 when the answer was a success that makes no sense. */
  readonly err: number;

  constructor(what: string, address: Sbdf, err: number) {
    super(`${what} of ${formatSbdf(address)} was answered with ${err}`);
    this.err = err;
  }
}

export class GuestBus {
  readonly requester: Requester;
  readonly #width: AccessWidth;
  readonly #functions = new Map<Sbdf, GuestFunction>();
  readonly #interrupts = new Map<Sbdf, InterruptState>();

  constructor(requester: Requester, width: AccessWidth = 'natural') {
    this.requester = requester;
    this.#width = width;
  }

  /** In the order in which they were found. */
  get functions(): readonly GuestFunction[] {
    return [...this.#functions.values()];
  }

  config(address: Sbdf): ConfigSpace {
    return new ConfigSpace(this.requester, address, this.#width);
  }

  /** Looks for functions that are not known yet and returns them. */
  scan(roots: readonly RootBus[]): readonly GuestFunction[] {
    return this.#add(scanBuses(roots, (address) => this.config(address), this.#functions));
  }

  /** Reads the functions at these addresses that are not known yet, and returns those that answer. */
  visit(addresses: readonly Sbdf[]): readonly GuestFunction[] {
    const unknown = addresses.filter((address) => !this.#functions.has(address));
    return this.#add(unknown.flatMap((address) => enumerateIfPresent(this.config(address)) ?? []));
  }

  /** Forgets a function that is being taken away; false when it was not known. */
  remove(address: Sbdf): boolean {
    this.#interrupts.delete(address);
    return this.#functions.delete(address);
  }

  interrupts(address: Sbdf): InterruptState {
    return this.#interrupts.get(address) ?? this.#legacyInterrupt(address);
  }

  /** Turns on the decoding that the BARs call for, and bus mastering, as a driver does first. Returns the command register. */
  enable(address: Sbdf): number {
    const config = this.config(address);
    const kinds = new Set(this.#functions.get(address)?.bars.map(({ kind }) => kind));
    const decode =
      (kinds.has('io') ? CommandBit.io : 0) |
      (kinds.has('memory32') || kinds.has('memory64') ? CommandBit.memory : 0);
    const command = config.read(Register.command, 2) | decode | CommandBit.master;
    const err = config.write(Register.command, 2, command);
    if (err !== WireError.success) throw new RequestRefused('enabling', address, err);
    return config.read(Register.command, 2);
  }

  /** Turns decoding and bus mastering off again, as a driver does last. */
  disable(address: Sbdf): void {
    const config = this.config(address);
    const decode = CommandBit.io | CommandBit.memory | CommandBit.master;
    config.write(Register.command, 2, config.read(Register.command, 2) & ~decode);
  }

  /** Switches to MSI-X with `count` vectors: by default all that the table has, and the page can carry. Throws RequestRefused. */
  enableMsix(address: Sbdf, count?: number): InterruptState {
    const size = this.#functions.get(address)?.msix?.entries ?? 0;
    const wanted = Math.min(count ?? size, maxMsixEntries);
    const entries = Array.from({ length: wanted }, (_, entry) => entry);
    const { err, vectors } = this.requester.enableMsix(address, entries);
    const usable = err === WireError.success && this.requester.value === 0;
    return this.#usePirqs('msix', address, usable ? vectors : [], err);
  }

  /** Switches to MSI with the one vector that the protocol offers. Throws RequestRefused. */
  enableMsi(address: Sbdf): InterruptState {
    const err = this.requester.enableMsi(address);
    return this.#usePirqs('msi', address, err === WireError.success ? [this.requester.value] : [], err);
  }

  /** Goes back from MSI or MSI-X to the legacy interrupt. */
  disableMessageInterrupts(address: Sbdf): InterruptState {
    const { mode } = this.interrupts(address);
    if (mode === 'msix') this.requester.disableMsix(address);
    if (mode === 'msi') this.requester.disableMsi(address);
    this.#interrupts.delete(address);
    return this.interrupts(address);
  }

  #add(found: readonly GuestFunction[]): readonly GuestFunction[] {
    for (const fn of found) this.#functions.set(fn.address, fn);
    return found;
  }

  /** Linux takes a pirq that is not positive for a failure, whatever `err` says. */
  #usePirqs(mode: 'msi' | 'msix', address: Sbdf, vectors: readonly number[], err: number): InterruptState {
    if (vectors.length === 0 || vectors.some((pirq) => pirq <= 0)) {
      throw new RequestRefused(`enabling ${mode === 'msi' ? 'MSI' : 'MSI-X'}`, address, err);
    }
    const state: InterruptState = { mode, vectors };
    this.#interrupts.set(address, state);
    return state;
  }

  #legacyInterrupt(address: Sbdf): InterruptState {
    const fn = this.#functions.get(address);
    if (!fn || fn.interruptPin === 0 || fn.interruptLine === 0) return { mode: 'none', vectors: [] };
    return { mode: 'intx', vectors: [fn.interruptLine] };
  }
}
