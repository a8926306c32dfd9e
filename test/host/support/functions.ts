import { parseSbdf, type Sbdf } from '../../../src/address.ts';
import { capturedFunctions } from '../../../src/host/captures/index.ts';
import type { FunctionFacts } from '../../../src/host/platform.ts';

export function sbdf(text: string): Sbdf {
  const parsed = parseSbdf(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** The bundled function with these IDs, `8086:10d3`. */
export function captured(ids: string): FunctionFacts {
  const [vendor, device] = ids.split(':').map((text) => Number.parseInt(text, 16));
  const found = capturedFunctions().find((facts) => facts.vendor === vendor && facts.device === device);
  if (found === undefined) throw new Error(`there is no capture of ${ids}`);
  return found;
}
