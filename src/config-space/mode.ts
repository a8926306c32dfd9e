import type { Quirk } from './quirks.ts';

/** How far a function's guest is trusted. Plain data: it crosses threads and is stored. */
export interface FilterMode {
  /** Registers without a rule may be written. Everything that has a rule is protected as before. */
  readonly permissive: boolean;
  /** The guest itself may switch INTx, MSI and MSI-X, as the QEMU of a stub domain does. */
  readonly interruptControl: boolean;
  /** Register ranges that may be written in addition. */
  readonly quirks: readonly Quirk[];
}

export const defaultMode: FilterMode = { permissive: false, interruptControl: false, quirks: [] };
