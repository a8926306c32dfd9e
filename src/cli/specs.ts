/** The specifications that a command was given. */
import { readFile } from 'node:fs/promises';
import {
  parseSpec,
  parseXlCfg,
  PcibackError,
  problemError,
  type PciSpec,
  type Problem,
} from '../toolstack/index.ts';
import { warn } from './failure.ts';

const place = (source: string, text: string, { at }: Problem): string => {
  const before = text.slice(0, at).split('\n');
  return `${source}:${before.length}:${(before.at(-1) ?? '').length + 1}`;
};

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

/** Reads the `pci = [...]` of an xl.cfg. Throws BAD-FILE, or BAD-SPEC when one of its entries is wrong. */
export async function readConfigSpecs(file: string): Promise<readonly PciSpec[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PcibackError('BAD-FILE', `${file} cannot be read: ${code}`, 'name the xl.cfg of the guest', {
      cause: error,
    });
  }
  const { specs, problems, warnings } = parseXlCfg(text);
  const [first] = problems;
  if (first) throw new PcibackError('BAD-FILE', `${place(file, text, first)}: ${first.what}`, first.remedy);
  for (const each of warnings) warn(`${place(file, text, each)}: ${each.what}; ${each.remedy}`);
  if (specs.length === 0)
    throw new PcibackError('BAD-FILE', `${file} names no PCI device`, "write pci = [ '03:00.0' ]");
  return specs;
}
