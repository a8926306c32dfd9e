/** The specifications that a command was given. */
import { parseSpec, parseXlCfg, PcibackError, problemError, type PciSpec } from '../toolstack/grammars.ts';
import { warn } from './failure.ts';
import { placeOf, readText, warnOf } from './files.ts';

/** Reads one operand. Throws BAD-SPEC. */
export function readSpec(text: string): PciSpec {
  const result = parseSpec(text);
  if (!result.ok) {
    const [first] = result.problems;
    throw first
      ? problemError(text, first)
      : new PcibackError('BAD-SPEC', `'${text}' cannot be read`, 'write 03:00.0');
  }
  for (const { at, what, remedy } of result.warnings)
    warn(`'${text}': at character ${at + 1}: ${what}; ${remedy}`);
  return result.spec;
}

/** Reads the `pci = [...]` of an xl.cfg. Throws BAD-FILE at the first mistake. */
export async function readConfigSpecs(file: string): Promise<readonly PciSpec[]> {
  const text = await readText(file, 'name the xl.cfg of the guest');
  const { specs, problems, warnings } = parseXlCfg(text);
  const [first] = problems;
  if (first) throw new PcibackError('BAD-FILE', `${placeOf(file, text, first)}: ${first.what}`, first.remedy);
  warnOf(file, text, warnings);
  if (specs.length === 0)
    throw new PcibackError('BAD-FILE', `${file} names no PCI device`, "write pci = [ '03:00.0' ]");
  return specs;
}
