/**
 * Granting and taking back message-signalled interrupts. Every failure is one and the same to a guest, and costs the host no
 * more than a counter (XSA-43, XSA-130). Each vector is noted in the function's record before it is used; `record.ts` says what
 * that is good for.
 */
import { Command as CommandBit, Header } from '../config-space/bits.ts';
import { interruptMode, setMsi, setMsix } from '../config-space/interrupts.ts';
import { InterruptKind } from '../config-space/record.ts';
import type { ExportedFunction } from './exported-function.ts';
import { Command, maxMsixEntries, OpWord } from './layout.ts';

/** The largest pirq that fits into the 16 bits of an MSI-X answer. */
const largestVector = 0xffff;

/** A bit for each entry of the largest MSI-X table: which of them a request has named. */
const named = new Uint32Array(2048 / 32);

const entryOf = (op: Int32Array, index: number): number => (op[OpWord.msixEntries + index] ?? 0) >>> 16;

/** Takes back all vectors and lets the function use INTx again. What is off already stays off. */
export function revoke({ filter, pirqs }: ExportedFunction): void {
  const { record, table } = filter;
  const kind = record.interruptKind;
  if (kind === InterruptKind.none && record.vectors === 0) return;
  // During a reset the function cannot be talked to; it forgets its interrupts by itself.
  if (!record.resetting) {
    if (kind !== InterruptKind.msix && table.msiControl !== 0) setMsi(filter, false);
    if (kind !== InterruptKind.msi && table.msixControl !== 0) setMsix(filter, false);
  }
  for (let index = record.vectors - 1; index >= 0; index--) {
    pirqs.unmap(record.pirq(index));
    record.removeLastVector();
  }
  record.revoked();
}

/** Takes back vectors of this kind; others stay. */
export function revokeKind(fn: ExportedFunction, kind: InterruptKind): void {
  const held = fn.filter.record.interruptKind;
  if (held === kind || held === InterruptKind.none) revoke(fn);
}

/** Interrupts are off, and may be switched on now. */
const maySwitchOn = ({ filter: { record } }: ExportedFunction): boolean =>
  record.interruptKind === InterruptKind.none && !record.resetting;

/** Switches the function's single MSI vector on: its pirq, or 0 when that is refused or fails. */
export function grantMsi(fn: ExportedFunction): number {
  const { filter, pirqs } = fn;
  const { record, table } = filter;
  if (record.unanswered === Command.enableMsi) return record.pirq(0);
  if (table.msiControl === 0 || !maySwitchOn(fn)) return 0;
  revoke(fn); // what a request left behind that was cut short
  const mode = interruptMode(filter.hardware, table);
  if (mode === 'msix' || mode === 'conflict') return 0;

  const pirq = pirqs.mapMsi(-1, 0n);
  if (pirq <= 0) return 0;
  record.addVector(0, pirq);
  setMsi(filter, true);
  record.grant(InterruptKind.msi, Command.enableMsi);
  return pirq;
}

/**
 * Switches MSI-X on for the first `count` entries that the request names (`count` is unsigned, as the guest sent it), and puts
 * their pirqs into it. False when that is refused or fails; nothing is mapped then.
 */
export function grantMsix(fn: ExportedFunction, op: Int32Array, count: number): boolean {
  const { filter, pirqs } = fn;
  const { record, table } = filter;
  const msix = table.msix;
  if (msix === undefined || count === 0 || count > maxMsixEntries) return false;
  if (record.unanswered === Command.enableMsix && isHeld(fn, op, count)) {
    answerFromRecord(fn, op, count);
    return true;
  }
  if (!maySwitchOn(fn) || !namesEntries(op, count, msix.entries) || !decodesMemory(fn)) return false;
  revoke(fn); // what a request left behind that was cut short
  const mode = interruptMode(filter.hardware, table);
  if (mode === 'msi' || mode === 'conflict') return false;

  for (let index = 0; index < count; index++) {
    const entry = entryOf(op, index);
    const pirq = pirqs.mapMsi(entry, msix.barStart);
    if (pirq > 0) record.addVector(entry, pirq);
    if (pirq <= 0 || pirq > largestVector) {
      revoke(fn);
      return false;
    }
  }
  setMsix(filter, true);
  record.grant(InterruptKind.msix, Command.enableMsix);
  answerFromRecord(fn, op, count);
  return true;
}

/** Every entry lies in the table (XSA-164), and none is named twice. */
function namesEntries(op: Int32Array, count: number, entries: number): boolean {
  named.fill(0);
  for (let index = 0; index < count; index++) {
    const entry = entryOf(op, index);
    const word = named[entry >>> 5] ?? 0;
    const bit = 1 << (entry & 31);
    if (entry >= entries || (word & bit) !== 0) return false;
    named[entry >>> 5] = word | bit;
  }
  return true;
}

/** Xen refuses MSI-X while the table cannot be reached (XSA-157). */
const decodesMemory = ({ decoder }: ExportedFunction): boolean =>
  decoder === null || (decoder.read(Header.command, 2) & CommandBit.memory) !== 0;

function isHeld({ filter: { record } }: ExportedFunction, op: Int32Array, count: number): boolean {
  if (record.vectors !== count) return false;
  for (let index = 0; index < count; index++) {
    if (record.entry(index) !== entryOf(op, index)) return false;
  }
  return true;
}

function answerFromRecord({ filter: { record } }: ExportedFunction, op: Int32Array, count: number): void {
  for (let index = 0; index < count; index++) {
    op[OpWord.msixEntries + index] = (record.entry(index) << 16) | record.pirq(index);
  }
}
