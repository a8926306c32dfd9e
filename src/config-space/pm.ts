/**
 * Power management (PCI Power Management 1.2, 3.2), at `c`:
 *
 *     c+2  capabilities         15..11 PME support, shown as none | 10 D2 | 9 D1 | ...
 *     c+4  control and status   15 PME_Status | 14..13 data scale | 12..9 data select | 8 PME_En | 3 No_Soft_Reset | 1..0 state
 *     c+6  bridge extensions, data
 *
 * A guest may change the power state and choose what the data register shows. It cannot have the machine woken (PME_En).
 * Linux compares before it writes, so that a set PME_Status can never be cleared by writing one; here a one always is written.
 */
import { WireError } from '../ring/layout.ts';
import { Pm } from './bits.ts';
import type { ConfigFilter } from './filter.ts';
import { wordAt } from './image.ts';
import {
  type Blueprint,
  capabilityHeader,
  ignored,
  register,
  type Register,
  type WriteRule,
} from './register.ts';

const guestBits = Pm.pmeStatus | Pm.dataSelect;

/** D0 can be entered from anywhere; lower states only downwards, and D1 and D2 only where they exist (PM 1.2, 5.1). */
function canEnter(capabilities: number, from: number, to: number): boolean {
  if (to === from || to === 0) return true;
  if (to < from) return false;
  if (to === Pm.d3hot) return true;
  return (capabilities & (to === 1 ? Pm.d1Support : Pm.d2Support)) !== 0;
}

/** Whether going to this power state resets the function: from D3hot to D0 without No_Soft_Reset (PM 1.2, 5.4.1). */
export const losesContext = (control: number, to: number): boolean =>
  (control & Pm.stateMask) === Pm.d3hot && to === 0 && (control & Pm.noSoftReset) === 0;

/** Whether the function is where it may only be told to come back to D0. One that does not answer looks like that. */
export const isInD3hot = ({ hardware, table }: ConfigFilter): boolean =>
  table.powerControl !== 0 && (hardware.read(table.powerControl, 2) & Pm.stateMask) === Pm.d3hot;

const controlRule: WriteRule = {
  meaning: 'power state and data select; PME_Status is cleared by writing one',
  apply(filter, { offset }, value) {
    const { hardware, table } = filter;
    const current = hardware.read(offset, 2);
    const from = current & Pm.stateMask;
    const to = value & Pm.stateMask;
    const capabilities = wordAt(table.seized.config, offset - Pm.control + Pm.capabilities);
    const allowed = canEnter(capabilities, from, to);

    const forgets = losesContext(current, to);
    if (forgets) filter.loseContext();
    const selected = (current & ~guestBits) | (value & guestBits);
    const next = allowed ? (selected & ~Pm.stateMask) | to : selected;
    if (next !== current || (value & Pm.pmeStatus) !== 0) hardware.write(offset, 2, next);

    if (forgets) filter.effects.contextLost();
    if (!allowed || ((value ^ current) & Pm.pmeEnable) !== 0) filter.deny(offset);
    return allowed ? WireError.success : WireError.accessDenied;
  },
};

export function pmRegisters(at: number, blueprint: Blueprint): readonly Register[] {
  const capabilities = wordAt(blueprint.seized.config, at + Pm.capabilities);
  return [
    capabilityHeader('Power management', at, blueprint),
    register('Power management capabilities', at + Pm.capabilities, 2, {
      live: 0,
      shown: capabilities & ~Pm.pmeSupport,
      rule: ignored,
    }),
    register('Power management control', at + Pm.control, 2, {
      rule: controlRule,
      reaches: guestBits | Pm.stateMask,
      clears: Pm.pmeStatus,
    }),
    register('Power management bridge extensions', at + Pm.bridgeExtensions, 1, { rule: ignored }),
    register('Power management data', at + Pm.data, 1, { rule: ignored }),
  ];
}
