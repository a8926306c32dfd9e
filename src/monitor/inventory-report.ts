import { formatSbdf } from '../address.ts';
import type { Inventory } from '../host/index.ts';

/** What is told of one function of the host, as plain data. */
export interface FunctionReport {
  readonly sbdf: string;
  readonly vendor: number;
  readonly device: number;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number;
  readonly driver: string | null;
  readonly resetMethods: readonly string[];
  /** The bus behind a bridge; null for anything else. */
  readonly secondaryBus: number | null;
  readonly origin: 'host' | 'tree' | 'capture';
}

export interface InventoryReport {
  readonly functions: readonly FunctionReport[];
  /** What kept a function from being listed. */
  readonly warnings: readonly string[];
}

/** Header Type, and Secondary Bus Number of a type 1 header (PCI-to-PCI Bridge Architecture 1.2, 3.2.5). */
const [headerType, secondaryBusNumber] = [0x0e, 0x19];

const secondaryBusOf = (config: Uint8Array): number | null =>
  ((config[headerType] ?? 0) & 0x7f) === 1 ? (config[secondaryBusNumber] ?? null) : null;

/** The functions that a host or a captured tree has, hidden or not. */
export const reportInventory = ({ functions, warnings }: Inventory): InventoryReport => ({
  functions: functions.map((facts) => ({
    sbdf: formatSbdf(facts.sbdf),
    vendor: facts.vendor,
    device: facts.device,
    classCode: facts.classCode,
    driver: facts.driver,
    resetMethods: facts.resetMethods,
    secondaryBus: secondaryBusOf(facts.config),
    origin: facts.origin,
  })),
  warnings: warnings.map(({ message }) => message),
});
