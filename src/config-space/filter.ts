/**
 * The engine: every write that a guest makes to the configuration space of a function goes through here, and every read, unless its ring
 * answers that by itself: out of the same tables, in the same way (native/guest_bus.cc; a property test holds the two together). It is
 * a guest's fastest way to keep the host busy, so an access neither allocates nor logs nor reads a clock.
 *
 * Linux xen-pciback is the model: what a guest may not do is dropped and answered with success, a write over several
 * registers gives the error of the last one, and in permissive mode a write goes to the hardware as it is only when it touches
 * no register that has a rule.
 */
import { WireError } from '../ring/layout.ts';
import type { AccessSize, ConfigAccess, ReadTable } from './access.ts';
import { barCount } from './bar.ts';
import { Header } from './bits.ts';
import { restoredCommand } from './command.ts';
import type { CompiledFilter } from './compile.ts';
import { widthMask } from './image.ts';
import type { FunctionRecord } from './record.ts';
import type { Register } from './register.ts';

/** What a guest's access sets in motion outside of the configuration space. Called before the access is answered. */
export interface FilterEffects {
  /**
   * The guest asked for a function-level reset, which the function supports. Until `resetFinished` is called its reads give
   * all ones and its writes are dropped.
   */
  resetRequested(): void;
  /**
   * The function has been told to go from D3hot to D0 and resets itself on the way (No_Soft_Reset is clear; PM 1.2, 5.4.1). It is to
   * be restored 10 ms from now; until `contextRestored` is called, the command register is a shadow.
   */
  contextLost(): void;
}

export class ConfigFilter {
  readonly table: CompiledFilter;
  readonly hardware: ConfigAccess;
  readonly record: FunctionRecord;
  readonly effects: FilterEffects;
  /** What the last read gave: unsigned, masked to the size of the access, 0 when it failed. */
  value = 0;
  /** Offset of the dword register that the last write was denied, in whole or in part; -1 when it was not. */
  lastDenied = -1;
  readonly #shown: Uint32Array;
  readonly #live: Uint32Array;

  /** `record` says where the guest stands: a new one, or the one that an earlier process left. */
  constructor(table: CompiledFilter, hardware: ConfigAccess, record: FunctionRecord, effects: FilterEffects) {
    this.table = table;
    this.hardware = hardware;
    this.record = record;
    this.effects = effects;
    this.#shown = new Uint32Array(table.shown.length);
    this.#live = new Uint32Array(table.live.length);
    this.refresh();
  }

  /** Takes over what the record says; to be called when the record was reset for the next guest. */
  refresh(): void {
    this.#shown.set(this.table.shown);
    this.#live.set(this.table.live);
    this.showCommand();
    for (let bar = 0; bar < barCount; bar++) this.showBar(bar);
    this.value = 0;
    this.lastDenied = -1;
  }

  /** For who answers reads in our place: what `read` would answer, out of the same memory. */
  get readTable(): ReadTable {
    return { length: this.table.length, live: this.#live, shown: this.#shown, ...this.record.shared };
  }

  /** The function is about to forget its registers: from here on nothing lets it loose before they are restored. */
  loseContext(): void {
    this.record.loseContext();
    this.showCommand();
  }

  /** Its registers are restored, and its guest has back what it had switched on. */
  contextRestored(): void {
    this.record.contextRestored();
    this.showCommand();
  }

  /** The reset that the guest asked for is done (or will never be), and the configuration restored. */
  resetFinished(): void {
    this.contextRestored();
    this.record.resetting = false;
  }

  /** Reads `size` bytes at `offset`, both as a guest sent them: signed 32-bit numbers. Leaves the result in `value`. */
  read(offset: number, size: number): WireError {
    if (!this.#isAccessible(offset, size)) {
      this.value = 0;
      return WireError.invalidOffset;
    }
    this.record.countRead();
    this.value = (this.record.resetting ? widthMask(size) : this.view(offset, size)) >>> 0;
    return WireError.success;
  }

  /** Writes the low `size` bytes of `value` at `offset`. Bits of `value` above them are ignored. */
  write(offset: number, size: number, value: number): WireError {
    this.lastDenied = -1;
    if (!this.#isAccessible(offset, size)) return WireError.invalidOffset;
    this.record.countWrite();
    if (this.record.resetting) return WireError.success;

    const shift = bitShift(offset);
    const dropped = ((this.table.drops[offset >>> 2] ?? 0) >>> shift) & value & widthMask(size);
    const err = this.#apply(offset, size, value & ~dropped);
    if (dropped !== 0) {
      if ((((this.table.resets[offset >>> 2] ?? 0) >>> shift) & dropped) !== 0) {
        this.record.resetting = true;
        this.effects.resetRequested();
      } else {
        this.deny(offset);
      }
    }
    return err;
  }

  /**
   * What a guest sees in `size` bytes at `offset`, which must be accessible. Signed, as is every value that goes from function
   * to function on the path of an access: V8 would have to allocate an unsigned one that does not fit into 31 bits.
   */
  view(offset: number, size: number): number {
    const register = offset >>> 2;
    const shift = bitShift(offset);
    const live = ((this.#live[register] ?? 0) >>> shift) & widthMask(size);
    const shown = ((this.#shown[register] ?? 0) >>> shift) & widthMask(size) & ~live;
    return live === 0 ? shown : (this.hardware.read(offset, size as AccessSize) & live) | shown;
  }

  /**
   * Counts the write at hand as denied: it was refused or had less effect than it asked for, in one register or several. (Linux
   * warns once a function, and guests cannot tell.)
   */
  deny(offset: number): void {
    if (this.lastDenied >= 0) return;
    this.lastDenied = offset & ~3;
    this.record.countDenied(offset);
  }

  /**
   * Makes reads of the command register show its shadow in the bits that are not the hardware's. While the context is lost none of them
   * is: what the register will hold is shown.
   */
  showCommand(): void {
    const { record, table } = this;
    const register = Header.command >>> 2;
    const live = record.contextLost ? 0 : (table.live[register] ?? 0) & 0xffff;
    const shown = record.contextLost ? restoredCommand(this) : record.commandShadow;
    this.#live[register] = ((this.#live[register] ?? 0) & ~0xffff) | live;
    this.#shown[register] = ((this.#shown[register] ?? 0) & ~0xffff) | shown;
  }

  /** Makes reads of a BAR show its address or, while the guest sizes it, its size. */
  showBar(bar: number): void {
    const { offsets, addresses, sizes } = this.table.bars;
    const offset = offsets[bar] ?? 0;
    if (offset === 0) return;
    const from = ((this.record.sizing >>> bar) & 1) !== 0 ? sizes : addresses;
    this.#shown[offset >>> 2] = from[bar] ?? 0;
  }

  #isAccessible(offset: number, size: number): boolean {
    return (
      (size === 4 || size === 2 || size === 1) &&
      (offset & (size - 1)) === 0 &&
      offset >= 0 &&
      offset < this.table.length
    );
  }

  /** Hands a write to the registers with a rule that it touches, in ascending order. The last one's error is the write's. */
  #apply(offset: number, size: number, value: number): WireError {
    const { owner, rules } = this.table;
    const end = offset + size;
    let handled = false;
    let err: WireError = WireError.success;
    let at = offset;
    while (at < end) {
      const register = rules[owner[at] ?? 0];
      if (register === undefined || register.rule === null) {
        at += 1;
      } else {
        err = register.rule.apply(this, register, this.#widen(register, offset, size, value));
        handled = true;
        at = register.offset + register.size;
      }
    }
    return handled ? err : this.#applyOpen(offset, size, value);
  }

  /** The value for the whole of a register: natural alignment has it that the access contains it, or lies within it. */
  #widen(register: Register, offset: number, size: number, value: number): number {
    if (size >= register.size) {
      return (value >>> ((register.offset - offset) << 3)) & widthMask(register.size);
    }
    const shift = (offset - register.offset) << 3;
    const written = widthMask(size) << shift;
    return (this.view(register.offset, register.size) & ~written) | ((value << shift) & written);
  }

  /** A write that touches no register with a rule. */
  #applyOpen(offset: number, size: number, value: number): WireError {
    const wanted = value & widthMask(size);
    if (this.table.mode.permissive) {
      this.hardware.write(offset, size as AccessSize, wanted >>> 0);
      if (this.record.contextLost) this.record.noteOwn(offset, size);
      return WireError.success;
    }
    const current = this.view(offset, size);
    const clears = (this.table.clears[offset >>> 2] ?? 0) >>> bitShift(offset);
    const refused = ((wanted ^ current) & ~clears) | (wanted & current & clears);
    if (refused !== 0) {
      this.deny(offset);
      this.record.noteRefused(offset, refused);
    }
    return WireError.success;
  }
}

/** Where the byte at `offset` begins in its dword register, in bits. */
const bitShift = (offset: number): number => (offset & 3) << 3;
