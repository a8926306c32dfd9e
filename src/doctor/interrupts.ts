/** What can be told of the interrupts of a function from its registers and from sysfs. */
import { CapabilityId, Header } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { byteAt } from '../config-space/image.ts';
import type { KnownFunction } from './facts.ts';

export type InterruptKind = 'MSI-X' | 'MSI' | 'INTx';

/** The ways in which the function can signal, as far as its registers can be read. */
export function interruptKinds({ config }: Pick<KnownFunction, 'config'>): readonly InterruptKind[] {
  const canSeeList = config.length > Header.end;
  const kinds: InterruptKind[] = [];
  if (canSeeList && findCapability(config, CapabilityId.msix) !== undefined) kinds.push('MSI-X');
  if (canSeeList && findCapability(config, CapabilityId.msi) !== undefined) kinds.push('MSI');
  if (byteAt(config, Header.interruptPin) !== 0) kinds.push('INTx');
  return kinds;
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
