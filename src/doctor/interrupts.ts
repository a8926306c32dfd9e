/** What can be told of the interrupts of a function from its registers and from sysfs. */
import { CapabilityId, Header } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { byteAt } from '../config-space/image.ts';
import { compileFilter, defaultMode, seizedFrom, signallingOf } from '../config-space/index.ts';
import { headerTypeOf } from '../host/identity.ts';
import { leftByDriver } from '../host/power-up.ts';
import type { KnownFunction } from './facts.ts';

export type InterruptKind = 'MSI-X' | 'MSI' | 'INTx';

export interface Interrupts {
  /** The ways in which a guest's function can signal, as far as its registers can be read. */
  readonly kinds: readonly InterruptKind[];
  /** Capabilities that it has and no guest is granted, each with the reason. */
  readonly refused: readonly string[];
}

/** What a guest would be granted, judged by the filter that would decide on it. */
export function interruptsOf(fn: KnownFunction): Interrupts {
  const { config } = fn;
  if (headerTypeOf(config) > 1) return { kinds: [], refused: [] };
  const { msix, msi, intx } = signallingOf(compileFilter(seizedFrom(fn, leftByDriver(config)), defaultMode));
  const kinds: InterruptKind[] = [];
  if (msix) kinds.push('MSI-X');
  if (msi) kinds.push('MSI');
  if (intx) kinds.push('INTx');
  const announces = (id: number): boolean =>
    config.length > Header.end && findCapability(config, id) !== undefined;
  const refused: string[] = [];
  if (!msix && announces(CapabilityId.msix))
    refused.push('MSI-X, whose table or pending bits do not lie inside a memory BAR of the function');
  if (!msi && announces(CapabilityId.msi)) refused.push('MSI, whose registers overlap others');
  return { kinds, refused };
}

/**
 * The number of its interrupt line; `none` when it has no pin. `unknown` while what sysfs shows is something else: before the
 * function is enabled what firmware wrote into its register, and with MSI on the number of a vector (Linux irq_show).
 */
export function legacyLine(fn: KnownFunction): number | 'none' | 'unknown' {
  if (byteAt(fn.config, Header.interruptPin) === 0) return 'none';
  if (fn.enabled === false || fn.messageVectors.includes(fn.irq)) return 'unknown';
  return fn.irq;
}
