/** The functions of the host that a command is told to do something with. */
import {
  formatSbdf,
  type HostFunctions,
  PcibackError,
  type PciSpec,
  resolveSpec,
} from '../toolstack/grammars.ts';
import { readSpec } from './specs.ts';

/** A specification that does no more than name functions: options are for those who get them. Throws BAD-SPEC. */
export function readName(text: string): PciSpec {
  const spec = readSpec(text);
  if (spec.vslot === 0 && Object.keys(spec.options).length === 0) return spec;
  throw new PcibackError(
    'BAD-SPEC',
    `'${text}' has options, which mean something only to the guest that gets the function`,
    'name the function alone, and give the options to pciback attach',
  );
}

/** Each function that is named, once and in order. Throws NO-SUCH-FUNCTION. */
export const namedFunctions = (specs: readonly PciSpec[], host: HostFunctions): readonly string[] => [
  ...new Set(specs.flatMap((spec) => resolveSpec(spec, host)).map(({ sbdf }) => formatSbdf(sbdf))),
];
