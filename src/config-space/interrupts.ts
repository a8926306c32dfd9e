/**
 * How a function signals interrupts: INTx, MSI or MSI-X, one of them at a time. The guest asks for MSI and MSI-X with
 * requests of their own, which use `setMsi` and `setMsix`; writing the control words is refused to it unless it was given
 * interrupt control. Xen keeps the addresses, the data and the masks to itself; what it does not do is to switch signalling
 * on, nor INTx off.
 */
import { WireError } from '../ring/layout.ts';
import type { ConfigAccess } from './access.ts';
import { Command, Header, Msi, Msix } from './bits.ts';
import type { CompiledFilter } from './compile.ts';
import type { ConfigFilter } from './filter.ts';
import type { WriteRule } from './register.ts';

/** `conflict`: both kinds of message-signalled interrupts are on, which is undefined (PCI Local Bus 3.0, 6.8.3.1). */
export type InterruptMode = 'none' | 'intx' | 'msi' | 'msix' | 'conflict';

type Wiring = Pick<CompiledFilter, 'msiControl' | 'msixControl'>;

const isOn = (hardware: ConfigAccess, control: number, enable: number): boolean =>
  control !== 0 && (hardware.read(control, 2) & enable) !== 0;

/** What the function's own registers say. */
export function interruptMode(hardware: ConfigAccess, { msiControl, msixControl }: Wiring): InterruptMode {
  const msi = isOn(hardware, msiControl, Msi.enable);
  const msix = isOn(hardware, msixControl, Msix.enable);
  if (msi) return msix ? 'conflict' : 'msi';
  if (msix) return 'msix';
  return (hardware.read(Header.command, 2) & Command.intxDisable) === 0 ? 'intx' : 'none';
}

/** The rule of an MSI or MSI-X control word whose guest has interrupt control, or has not. */
function controlRule(kind: 'msi' | 'msix', enable: number, switchable: number): WriteRule {
  const permits = ({ hardware, table }: ConfigFilter, value: number, current: number): boolean => {
    if (!table.mode.interruptControl || ((value ^ current) & ~switchable) !== 0) return false;
    if ((value & enable) === 0) return true;
    const mode = interruptMode(hardware, table);
    return mode === 'none' || mode === 'intx' || mode === kind;
  };
  return {
    meaning: 'switched by requests of its own; writes only with interrupt control',
    apply(filter, { offset }, value) {
      const current = filter.hardware.read(offset, 2);
      if (value === current) return WireError.success;
      if (!permits(filter, value, current)) {
        filter.deny(offset);
        return WireError.accessDenied;
      }
      filter.hardware.write(offset, 2, value);
      return WireError.success;
    },
  };
}

export const msiSwitchable = Msi.enable;
export const msixSwitchable = Msix.enable | Msix.functionMask;
export const msiControlRule = controlRule('msi', Msi.enable, msiSwitchable);
export const msixControlRule = controlRule('msix', Msix.enable, msixSwitchable);

/** Changes bits of a 16-bit register, which is written only when that makes a difference. */
function change(hardware: ConfigAccess, offset: number, clear: number, set: number): void {
  const now = hardware.read(offset, 2);
  const next = (now & ~clear) | set;
  if (next !== now) hardware.write(offset, 2, next);
}

function setIntx({ hardware, record, table }: ConfigFilter, on: boolean): void {
  const own = table.mode.interruptControl ? record.commandShadow & Command.intxDisable : 0;
  change(hardware, Header.command, Command.intxDisable, on ? own : Command.intxDisable);
}

/** Switches the function's single MSI vector on, and INTx off, or the other way round; after a loss of context, `reapply` does. */
export function setMsi(filter: ConfigFilter, on: boolean): void {
  if (!filter.record.contextLost) writeMsi(filter, on);
}

/** The same for MSI-X, with no vector masked by the function as a whole. */
export function setMsix(filter: ConfigFilter, on: boolean): void {
  if (!filter.record.contextLost) writeMsix(filter, on);
}

export function writeMsi(filter: ConfigFilter, on: boolean): void {
  const { hardware, table } = filter;
  if (on) setIntx(filter, false);
  change(hardware, table.msiControl, Msi.enable | Msi.multipleMessageEnable, on ? Msi.enable : 0);
  if (!on) setIntx(filter, true);
}

/** Xen takes nothing but 16-bit writes of the control word. */
export function writeMsix(filter: ConfigFilter, on: boolean): void {
  const { hardware, table } = filter;
  if (on) setIntx(filter, false);
  change(hardware, table.msixControl, Msix.enable | Msix.functionMask, on ? Msix.enable : 0);
  if (!on) setIntx(filter, true);
}
