import { formatSbdf } from '../address.ts';
import type { Inventory } from '../host/index.ts';

/** What is told of one function of the host, as plain data. */
export interface FunctionReport {
  readonly sbdf: string;
  /** Null when the function does not answer, and the kernel does not know either. */
  readonly vendor: number | null;
  readonly device: number | null;
  /** 24 bits: base class, sub-class, programming interface. Null likewise. */
  readonly classCode: number | null;
  readonly driver: string | null;
  readonly resetMethods: readonly string[];
  /** The bus behind a bridge; null for anything else. */
  readonly secondaryBus: number | null;
  readonly origin: 'host' | 'tree' | 'capture';
  /** Why nothing is known of its registers: `does not answer (power state D3cold)`; null when it answers. */
  readonly problem: string | null;
}

export interface InventoryReport {
  readonly functions: readonly FunctionReport[];
  /** What is wrong with single functions. */
  readonly warnings: readonly string[];
}

/** Header Type, and Secondary Bus Number of a type 1 header (PCI-to-PCI Bridge Architecture 1.2, 3.2.5). */
const [headerType, secondaryBusNumber] = [0x0e, 0x19];

const secondaryBusOf = (config: Uint8Array): number | null =>
  ((config[headerType] ?? 0) & 0x7f) === 1 ? (config[secondaryBusNumber] ?? null) : null;

/** The functions that a host or a captured tree has, hidden or not. */
export const reportInventory = (inventory: Inventory): InventoryReport => ({
  functions: [...inventory.functions, ...(inventory.silent ?? [])]
    .toSorted((a, b) => a.sbdf - b.sbdf)
    .map((facts) => ({
      sbdf: formatSbdf(facts.sbdf),
      vendor: facts.vendor,
      device: facts.device,
      classCode: facts.classCode,
      driver: facts.driver,
      resetMethods: facts.config === null ? [] : facts.resetMethods,
      secondaryBus: facts.config === null ? null : secondaryBusOf(facts.config),
      origin: facts.origin,
      problem: facts.config === null ? facts.problem : null,
    })),
  warnings: inventory.warnings.map(({ message }) => message),
});
