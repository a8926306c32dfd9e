/**
 * The command register (PCI Local Bus 3.0, 6.2.2).
 *
 *      15      11  10    9    8    7    6    5    4    3    2    1    0
 *     +----------+----+----+----+----+----+----+----+----+----+----+----+
 *     | reserved |INTx|fb2b|SERR|wait|PERR|VGA |MWI |spec|MSTR|MEM | IO |
 *     +----------+----+----+----+----+----+----+----+----+----+----+----+
 *       shown from: shadow  hw   sh   hw   sh   hw   hw   hw   hw   sh   sh
 *
 * Address decoding goes on in hardware when the guest first asks for it and is never switched off again: a function that
 * does not answer makes the host's access fail, and on some chipsets the host (XSA-120, and its addendum CVE-2015-8553).
 * The guest sees its own bits nevertheless. What it can really switch is bus mastering and memory-write-and-invalidate.
 *
 * A function that has lost its context would decode addresses that nobody gave it. Until it is restored all of the register is a
 * shadow, and `reapplyCommand` does what the guest wanted meanwhile.
 */
import { WireError } from '../ring/layout.ts';
import type { ConfigAccess } from './access.ts';
import { Command, Header, Pm } from './bits.ts';
import type { ConfigFilter } from './filter.ts';
import { wordAt } from './image.ts';
import type { FilterMode } from './mode.ts';
import { losesContext } from './pm.ts';
import { InterruptKind } from './record.ts';
import { type Blueprint, register, type Register, type WriteRule } from './register.ts';
import type { Seized } from './seize.ts';

const decodeBits = Command.io | Command.memory;

/** Bits that are the guest's in hardware, as far as its mode goes; they are read from there. */
const guestBits =
  Command.master |
  Command.specialCycles |
  Command.memoryWriteInvalidate |
  Command.vgaPaletteSnoop |
  Command.waitCycles |
  Command.fastBackToBack;

/** Guest bits that only a permissive filter forwards. */
const withheldBits = guestBits & ~(Command.master | Command.memoryWriteInvalidate);

/** Cache lines of the hosts that Xen runs on, in the dwords in which the register counts: 64 bytes. */
const hostCacheLine = 16;

/** The decode bits that the function's ranges call for. The expansion ROM stays off, and so counts for nothing. */
export const decodeFor = ({ resources }: Seized): number =>
  resources.reduce(
    (bits, { kind }) => bits | (kind === 'io' ? Command.io : kind === 'rom' ? 0 : Command.memory),
    0,
  );

function set(hardware: ConfigAccess, from: number, to: number): number {
  if (to !== from) hardware.write(Header.command, 2, to);
  return to;
}

/** Bits that a guest of this mode can change in hardware, beside decoding and INTx. */
const forwardedBits = ({ permissive }: FilterMode): number =>
  permissive ? guestBits : guestBits & ~withheldBits;

/** What the register of a function that has lost its context will show once it is restored. */
export function restoredCommand({ record, table }: ConfigFilter): number {
  const seizeds = guestBits & ~forwardedBits(table.mode);
  return (record.commandShadow & ~seizeds) | (table.initialCommand & seizeds);
}

/** A function that is to decode must be in D0. PME_Status is written as zero: it is cleared by writing one. */
function wake(filter: ConfigFilter): void {
  const { hardware, table } = filter;
  if (table.powerControl === 0) return;
  const control = hardware.read(table.powerControl, 2);
  if ((control & Pm.stateMask) === 0) return;
  const forgets = losesContext(control, 0);
  if (forgets) filter.loseContext();
  hardware.write(table.powerControl, 2, control & ~(Pm.stateMask | Pm.pmeStatus));
  if (forgets) filter.effects.contextLost();
}

/** Of a function that has lost its context nothing is switched: what the guest wants is noted, and shown to it. */
function note(filter: ConfigFilter, offset: number, value: number): void {
  const { record, table } = filter;
  record.enabled = (value & decodeBits) !== 0;
  record.commandShadow = value;
  filter.showCommand();
  if (((value ^ table.initialCommand) & guestBits & ~forwardedBits(table.mode)) !== 0) filter.deny(offset);
}

/**
 * Memory-write-and-invalidate moves whole cache lines (PCI 3.0, 3.1.1): the function must know how long one is, or a multiple
 * of it. False when it does not take the value.
 */
function fitCacheLine(hardware: ConfigAccess): boolean {
  const current = hardware.read(Header.cacheLineSize, 1);
  if (current !== 0 && current % hostCacheLine === 0) return true;
  hardware.write(Header.cacheLineSize, 1, hostCacheLine);
  return hardware.read(Header.cacheLineSize, 1) === hostCacheLine;
}

const commandRule: WriteRule = {
  meaning: 'bus mastering and memory-write-invalidate; decoding goes on but never off; the rest is a shadow',
  apply(filter: ConfigFilter, { offset }: Register, wanted: number): WireError {
    const { hardware, record, table } = filter;
    let value = wanted;
    if (!record.enabled && (value & decodeBits) !== 0) wake(filter);
    if (record.contextLost) {
      note(filter, offset, value);
      return WireError.success;
    }
    let now = hardware.read(Header.command, 2);

    if ((value & decodeBits) !== 0) {
      now = set(hardware, now, now | table.decode);
      record.enabled = true;
    } else if (record.enabled) {
      now = set(hardware, now, now & ~Command.master);
      record.enabled = false;
    }

    now = set(hardware, now, (now & ~Command.master) | (value & Command.master));

    const mwi = (value & Command.memoryWriteInvalidate) !== 0;
    if (mwi !== ((record.commandShadow & Command.memoryWriteInvalidate) !== 0)) {
      if (!mwi) now = set(hardware, now, now & ~Command.memoryWriteInvalidate);
      else if (fitCacheLine(hardware)) now = set(hardware, now, now | Command.memoryWriteInvalidate);
      else value &= ~Command.memoryWriteInvalidate;
    }

    if (table.mode.interruptControl && ((record.commandShadow ^ value) & Command.intxDisable) !== 0) {
      now = set(hardware, now, (now & ~Command.intxDisable) | (value & Command.intxDisable));
    }

    record.commandShadow = value;
    filter.showCommand();
    if (!table.mode.permissive) {
      if (((value ^ now) & withheldBits) !== 0) filter.deny(offset);
    } else if (now !== value) {
      hardware.write(Header.command, 2, (value & guestBits) | (now & ~guestBits));
    }
    return WireError.success;
  },
};

/**
 * Puts the hardware's command register to where the guest believes it to be, after a reset has been restored from: seizing
 * and resets leave bus mastering off.
 */
export function reapplyCommand({ hardware, record, table }: ConfigFilter): void {
  if ((record.commandShadow & Command.memoryWriteInvalidate) !== 0 && !fitCacheLine(hardware)) {
    record.commandShadow &= ~Command.memoryWriteInvalidate;
  }
  const own =
    forwardedBits(table.mode) |
    (table.mode.interruptControl && record.interruptKind === InterruptKind.none ? Command.intxDisable : 0);
  const now = hardware.read(Header.command, 2);
  set(hardware, now, (now & ~own) | (record.commandShadow & own) | (record.enabled ? table.decode : 0));
}

export function commandRegister({ seized, mode }: Blueprint): Register {
  return register('Command', Header.command, 2, {
    live: guestBits,
    shown: wordAt(seized.config, Header.command),
    rule: commandRule,
    reaches: forwardedBits(mode) | decodeFor(seized) | (mode.interruptControl ? Command.intxDisable : 0),
  });
}
