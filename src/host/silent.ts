/** Functions that are on the bus and do not answer. */
import { formatSbdf, type Sbdf } from '../address.ts';
import type { Resource } from '../config-space/access.ts';
import { answers, seize, type Seized } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import type { FunctionFacts, HostFunction } from './platform.ts';

/**
 * What the kernel knows of a function whose registers tell nothing. It is a type of its own, without a configuration space, so that
 * nothing can be concluded from registers that nobody has read.
 */
export interface SilentFunction {
  readonly sbdf: Sbdf;
  /** From when the function was found; null when the kernel does not tell. */
  readonly vendor: number | null;
  readonly device: number | null;
  readonly classCode: number | null;
  readonly config: null;
  /** Where the kernel has put its BARs: it decodes them again as soon as it is awake. */
  readonly resources: readonly Resource[];
  readonly physicalFunction: Sbdf | null;
  readonly driver: string | null;
  /** As far as the kernel lists them: a reset may bring it back. */
  readonly resetMethods: readonly string[];
  /** `does not answer (power state D3cold)`, `cannot be read`. */
  readonly problem: string;
  /** With what it is refused to whoever asks for it. */
  readonly refusal: PcibackError;
  readonly origin: 'host' | 'tree';
}

/** The problem of a function that does not answer, with its power state when the kernel tells it. */
export const silence = (powerState: string | null): string =>
  powerState === null ? 'does not answer' : `does not answer (power state ${powerState})`;

/** The refusal of a function that does not answer. */
export function notAnswering(sbdf: Sbdf, powerState: string | null = null): PcibackError {
  const name = formatSbdf(sbdf);
  const directory = `/sys/bus/pci/devices/${name}`;
  const wake =
    powerState === 'D3cold'
      ? `have it woken: echo 0 > ${directory}/d3cold_allowed; echo on > ${directory}/power/control; or`
      : 'see whether it is plugged in and switched on, and';
  const remedy = `${wake} have it found anew: echo 1 > ${directory}/remove; echo 1 > /sys/bus/pci/rescan`;
  return new PcibackError('NOT-ANSWERING', `${name} ${silence(powerState)}`, remedy);
}

/** The registers that tell whether it answers, read now. */
function answersNow(hardware: HostFunction): boolean {
  const header = new Uint8Array(0x40);
  const view = new DataView(header.buffer);
  for (let offset = 0; offset < header.length; offset += 4)
    view.setUint32(offset, hardware.read(offset, 4), true);
  return answers(header);
}

/** Throws NOT-ANSWERING. */
export function requireAnswer(hardware: HostFunction): void {
  if (!answersNow(hardware)) throw notAnswering(hardware.sbdf);
}

/** Seizes a function, unless it has fallen silent before all of it was read. Throws NOT-ANSWERING or HEADER-TYPE. */
export function seizeFunction(hardware: HostFunction, facts: FunctionFacts): Seized {
  requireAnswer(hardware);
  try {
    const seized = seize(hardware, facts);
    if (!answers(seized.config)) throw notAnswering(hardware.sbdf);
    return seized;
  } finally {
    // What was read while it fell silent is neither a configuration nor a reason.
    requireAnswer(hardware);
  }
}
