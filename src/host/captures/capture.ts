import { parseSbdf, type Sbdf } from '../../address.ts';
import type { Resource } from '../../config-space/access.ts';
import { PcibackError } from '../../errors.ts';
import { identityOf } from '../identity.ts';
import type { FunctionFacts } from '../platform.ts';

/**
 * A PCI function written down so that a person can read it: what `lspci -xxxx` and the `resource` attribute of sysfs show
 * of it while its driver runs.
 */
export interface Capture {
  readonly address: string;
  /** Bytes of configuration space that its host can read. */
  readonly space: 256 | 4096;
  /** Sixteen bytes each, by their offset in hex. Rows that are not given are zero. */
  readonly config: Readonly<Record<string, string>>;
  readonly resources: readonly Resource[];
  readonly irq: number;
  readonly driver: string | null;
  readonly resetMethods: readonly string[];
  /** Of a virtual function only: its registers read as all ones (SR-IOV 1.1, 3.4.1.1 and 3.4.1.2). */
  readonly virtual?: { readonly vendor: number; readonly device: number; readonly physicalFunction: string };
}

/** The facts that a host would have found. */
export function factsOf(capture: Capture): FunctionFacts {
  const config = bytesOf(capture);
  const { vendor, device, physicalFunction } = capture.virtual ?? { physicalFunction: null };
  return {
    sbdf: addressOf(capture.address),
    ...identityOf(config),
    ...(vendor !== undefined && device !== undefined && { vendor, device }),
    config,
    resources: capture.resources,
    irq: capture.irq,
    physicalFunction: physicalFunction === null ? null : addressOf(physicalFunction),
    driver: capture.driver,
    resetMethods: capture.resetMethods,
    origin: 'capture',
  };
}

function bytesOf({ address, space, config }: Capture): Uint8Array {
  const bytes = new Uint8Array(space);
  for (const [offset, row] of Object.entries(config)) {
    const values = row.split(/ +/).map((text) => Number.parseInt(text, 16));
    if (values.length !== 16) throw mistake(`row ${offset} of ${address} has ${values.length} bytes`);
    bytes.set(values, Number.parseInt(offset, 16));
  }
  return bytes;
}

function addressOf(text: string): Sbdf {
  const sbdf = parseSbdf(text);
  if (sbdf === undefined) throw mistake(`${text} is no address`);
  return sbdf;
}

const mistake = (message: string): PcibackError =>
  new PcibackError(
    'INTERNAL',
    `bundled capture: ${message}`,
    'report it, and name the functions with --sysfs',
  );
