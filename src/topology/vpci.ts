import { type Sbdf, deviceOf, formatSbdf, functionOf, makeSbdf, slotOf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { requireExportable } from './exportable.ts';
import type { Candidate, Root, Topology } from './topology.ts';

const slotCount = 32;
const onlyRoot: readonly Root[] = [{ segment: 0, bus: 0 }];

interface Slot {
  /** The physical slot whose functions share this one; null when nobody may join the occupant. */
  readonly shared: number | null;
  readonly occupants: Map<Sbdf, Sbdf>;
}

export interface VpciOptions {
  /**
   * Shows a function that has no function 0 beside it as function 0: some systems do not look for functions 1..7 where
   * function 0 is absent. Such a function keeps its slot to itself.
   */
  readonly loneFunctionAtZero?: boolean;
}

/**
 * One virtual bus 0000:00 of 32 slots, as Linux xen-pciback's vpci.c numbers it: functions of one physical slot share a
 * virtual slot and keep their function numbers. A virtual function with number 0 stays alone, because its neighbours by
 * number are no functions of the same device (SR-IOV 1.1, 2.1.2: routing IDs of VFs have no multi-function meaning).
 */
export class VpciTopology implements Topology {
  readonly kind = 'vpci';
  readonly #slots: (Slot | undefined)[] = Array.from({ length: slotCount });
  readonly #loneFunctionAtZero: boolean;

  constructor(options: VpciOptions = {}) {
    this.#loneFunctionAtZero = options.loneFunctionAtZero ?? false;
  }

  place(candidate: Candidate, requestedDevfn: number): Sbdf {
    const { sbdf } = candidate;
    const placed = this.guestAddressOf(sbdf);
    if (placed !== undefined) return placed;
    requireExportable(candidate, this.kind);
    const number = this.#slotFor(candidate, requestedDevfn >> 3);
    const slot = this.#slots[number] ?? this.#newSlot(number, candidate);
    const fn = this.#loneFunctionAtZero && slot.shared === null ? 0 : functionOf(sbdf);
    const guestAddress = makeSbdf(0, 0, number, fn);
    slot.occupants.set(sbdf, guestAddress);
    return guestAddress;
  }

  occupy(candidate: Candidate, guestAddress: Sbdf): void {
    const number = deviceOf(guestAddress);
    const slot = this.#slots[number] ?? this.#newSlot(number, candidate);
    slot.occupants.set(candidate.sbdf, guestAddress);
  }

  remove(sbdf: Sbdf): void {
    for (const [number, slot] of this.#slots.entries()) {
      if (slot?.occupants.delete(sbdf) && slot.occupants.size === 0) this.#slots[number] = undefined;
    }
  }

  guestAddressOf(sbdf: Sbdf): Sbdf | undefined {
    for (const slot of this.#slots) {
      const address = slot?.occupants.get(sbdf);
      if (address !== undefined) return address;
    }
    return undefined;
  }

  roots(): readonly Root[] {
    return onlyRoot;
  }

  /** Slot 0 cannot be asked for: toolstacks write no `vdevfn` when it is 0, so 0 stands for "any". */
  #slotFor(candidate: Candidate, requested: number): number {
    const beside = this.#joins(candidate)
      ? this.#slots.findIndex((slot) => slot?.shared === slotOf(candidate.sbdf))
      : -1;
    if (beside >= 0) return beside;
    if (requested > 0 && requested < slotCount && this.#slots[requested] === undefined) return requested;
    const free = this.#slots.findIndex((slot) => slot === undefined);
    if (free >= 0) return free;
    throw new PcibackError(
      'NO-SLOT',
      `no slot is left on the virtual bus for ${formatSbdf(candidate.sbdf)}: all ${slotCount} are taken`,
      'detach a function of this guest first, or serve with --topology passthrough',
    );
  }

  #newSlot(number: number, candidate: Candidate): Slot {
    const slot: Slot = {
      shared: this.#joins(candidate) ? slotOf(candidate.sbdf) : null,
      occupants: new Map(),
    };
    this.#slots[number] = slot;
    return slot;
  }

  #joins(candidate: Candidate): boolean {
    if (candidate.virtualFunction && functionOf(candidate.sbdf) === 0) return false;
    return !(this.#loneFunctionAtZero && functionOf(candidate.sbdf) !== 0);
  }
}
