import { setTimeout as sleep } from 'node:timers/promises';
import { formatSbdf, type Sbdf } from '../address.ts';
import type { AccessSize } from '../config-space/access.ts';
import { CapabilityId, Pm } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { PcibackError } from '../errors.ts';
import { type MappedModel, mapModel } from './model-file.ts';
import type { FunctionFacts, HostFunction } from './platform.ts';
import { afterReset, writeOneToClearBits } from './power-up.ts';

/** What can be wrong with a model, to see what pciback makes of it. Bits of the model's first condition word. */
export const ModelFault = {
  none: 0,
  /** Every reset takes its time, fails and changes nothing. */
  resetFails: 1 << 0,
  /** Somebody pulled the card: every register reads as ones and keeps nothing. */
  absent: 1 << 1,
  /** A reset does not end before this fault does; nothing is changed until then. */
  resetHangs: 1 << 2,
} as const;

/** Milliseconds until a function may be touched again. */
const recovery: Readonly<Record<string, number>> = {
  flr: 100, // PCI Express Base 4.0, 6.6.2
  af_flr: 100,
  pm: 20, // 10 ms into D3hot and 10 ms back (PCI Power Management 1.2, 5.4.1)
};
/** A bus is reset for 2 ms; then what is behind it has 100 ms until the first access (PCI Express Base 4.0, 6.6.1). */
const recoveryOfBus = 102;

/** Milliseconds between two looks whether a reset that hangs may end. */
const pollInterval = 5;

/** Waits for so many milliseconds. */
export type Delay = (milliseconds: number) => Promise<void>;

const realTime: Delay = (milliseconds) => sleep(milliseconds);

const Condition = { faults: 0, resets: 1 } as const;

/**
 * A function that is a file: its registers store what is written but for bits that a one clears. A reset takes them back to what power-up
 * leaves, and so does the way from D3hot to D0 unless the function says No_Soft_Reset (PCI Power Management 1.2, 5.4.1). Any number of threads and processes may have the same one open, and see each other's writes at once.
 */
export class ModelFunction implements HostFunction {
  readonly facts: FunctionFacts;
  readonly sbdf: Sbdf;
  readonly length: 256 | 4096;
  #registers: DataView;
  #condition: Uint32Array;
  readonly #unmap: () => void;
  readonly #clearedByOne: Uint8Array;
  /** Where its power state is; undefined when it has none. */
  readonly #powerControl: number | undefined;
  readonly #delay: Delay;

  constructor(model: MappedModel, delay: Delay = realTime) {
    this.facts = model.facts;
    this.sbdf = model.facts.sbdf;
    this.length = model.registers.byteLength === 256 ? 256 : 4096;
    this.#registers = model.registers;
    this.#condition = model.condition;
    this.#unmap = model.unmap;
    this.#clearedByOne = writeOneToClearBits(model.facts.config);
    const powerManagement = findCapability(model.facts.config, CapabilityId.powerManagement);
    if (powerManagement !== undefined) this.#powerControl = powerManagement + Pm.control;
    this.#delay = delay;
  }

  get resetMethods(): readonly string[] {
    return this.facts.resetMethods;
  }

  read(offset: number, size: AccessSize): number {
    if (this.#absent) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    if (size === 4) return this.#registers.getUint32(offset, true);
    return size === 2 ? this.#registers.getUint16(offset, true) : this.#registers.getUint8(offset);
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (this.#absent) return;
    const forgets = this.#isInD3hot;
    for (let byte = 0; byte < size; byte++) {
      const at = offset + byte;
      const written = (value >>> (8 * byte)) & 0xff;
      const clearing = this.#clearedByOne[at] ?? 0;
      const kept = this.#registers.getUint8(at) & clearing & ~written;
      this.#registers.setUint8(at, (written & ~clearing) | kept);
    }
    if (forgets && !this.#isInD3hot) this.#powerUp();
  }

  /** And will forget its registers when it leaves that. */
  get #isInD3hot(): boolean {
    if (this.#powerControl === undefined) return false;
    const control = this.#registers.getUint8(this.#powerControl);
    return (control & Pm.stateMask) === Pm.d3hot && (control & Pm.noSoftReset) === 0;
  }

  /** Stores a value as the device itself would, past the rules for writing. */
  poke(offset: number, size: AccessSize, value: number): void {
    if (size === 4) this.#registers.setUint32(offset, value, true);
    else if (size === 2) this.#registers.setUint16(offset, value, true);
    else this.#registers.setUint8(offset, value);
  }

  /** A model takes every method, and as long for it as hardware does. Throws RESET-FAILED. */
  async reset(method: string): Promise<void> {
    this.#condition[Condition.resets] = this.resets + 1;
    while ((this.faults & ModelFault.resetHangs) !== 0) await sleep(pollInterval, undefined, { ref: false });
    if (this.faults === ModelFault.none) this.#powerUp();
    await this.#delay(recovery[method] ?? recoveryOfBus);
    if (this.faults === ModelFault.none) return;
    throw new PcibackError(
      'RESET-FAILED',
      this.#absent
        ? `${formatSbdf(this.sbdf)} did not come back from its reset (${method})`
        : `${formatSbdf(this.sbdf)} could not be reset (${method})`,
      `try again: pciback reset ${formatSbdf(this.sbdf)}`,
    );
  }

  #powerUp(): void {
    for (const [offset, byte] of afterReset(this.facts.config).entries())
      this.#registers.setUint8(offset, byte);
  }

  /** A model keeps no vectors: whoever raises them knows where they go. */
  restoreVectors(): void {
    // Nothing was lost.
  }

  /** A set of `ModelFault`, shared by all who have the model open. */
  get faults(): number {
    return this.#condition[Condition.faults] ?? ModelFault.none;
  }

  set faults(faults: number) {
    this.#condition[Condition.faults] = faults;
  }

  /** How often the function was reset, successfully or not. */
  get resets(): number {
    return this.#condition[Condition.resets] ?? 0;
  }

  get #absent(): boolean {
    return (this.faults & ModelFault.absent) !== 0;
  }

  /** Lets go of the model, which stays. The function looks absent from now on. */
  close(): void {
    this.#registers = new DataView(new ArrayBuffer(this.length));
    this.#condition = Uint32Array.of(ModelFault.absent, this.resets);
    this.#unmap();
  }
}

/** Opens the model of a function. Throws NO-SUCH-FUNCTION, BAD-FILE or OUT-OF-RESOURCES. */
export const openModel = (directory: string, sbdf: Sbdf, delay?: Delay, state?: string): ModelFunction =>
  new ModelFunction(mapModel(directory, sbdf, state), delay);
