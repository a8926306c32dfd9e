/**
 * What an xl.cfg says of PCI passthrough: the list `pci = [ 'spec', ... ]`, and defaults for all functions of the guest,
 * `pci_permissive`, `pci_msitranslate`, `pci_seize` and `pci_power_mgmt`.
 */
import { parseCfgText, type CfgString, type CfgValue } from './cfg-text.ts';
import type { PciOptions } from './pci-options.ts';
import { problem, type Problem } from './problem.ts';
import { parseSpec, type PciSpec } from './spec.ts';

export interface XlCfg {
  /** Name of the guest, when the file gives one. */
  readonly name: string | undefined;
  /** The specifications with the guest's defaults filled in where they leave an option open. */
  readonly specs: readonly PciSpec[];
  /** The guest cannot be created from the file while there are any. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const guestDefaults = {
  pci_permissive: 'permissive',
  pci_msitranslate: 'msitranslate',
  pci_seize: 'seize',
  pci_power_mgmt: 'powerManagement',
} as const;

/** A mistake inside a string of the file, at its place in the file. */
function inFile({ places, at, length }: CfgString, found: Problem): Problem {
  const from = places[found.at] ?? at + length - 1;
  const to = places[found.at + found.length] ?? at + length - 1;
  return { ...found, at: from, length: to - from };
}

/** An integer may also be written as a string. */
function truth(value: CfgValue): boolean | undefined {
  if (value.kind === 'number') return value.value !== 0;
  return value.kind === 'string' && /^\d+$/.test(value.value) ? Number(value.value) !== 0 : undefined;
}

/** Reads the text of an xl.cfg. Settings that have nothing to do with PCI are skipped. Never throws. */
export function parseXlCfg(text: string): XlCfg {
  const { settings, problems: syntax } = parseCfgText(text);
  const problems = [...syntax];
  const warnings: Problem[] = [];

  const defaults: { -readonly [Name in keyof PciOptions]?: PciOptions[Name] } = {};
  for (const [key, option] of Object.entries(guestDefaults)) {
    const value = settings.get(key);
    if (!value) continue;
    const on = truth(value);
    if (on === undefined) {
      problems.push(
        problem(value.at, value.length, `${key} is not a number`, `write ${key} = 1 or ${key} = 0`),
      );
    } else defaults[option] = on;
  }

  const specs: PciSpec[] = [];
  const list = settings.get('pci');
  if (list && list.kind !== 'list') {
    const remedy = `write pci = [ ${text.slice(list.at, list.at + list.length)} ]`;
    problems.push(problem(list.at, list.length, 'pci is a list of strings', remedy));
  }
  for (const item of list?.kind === 'list' ? list.items : []) {
    if (item.kind !== 'string') {
      problems.push(
        problem(item.at, item.length, 'a device is written as a string', `put it in quotes: '03:00.0'`),
      );
      continue;
    }
    const result = parseSpec(item.value);
    const found = result.ok ? result.warnings : result.problems;
    (result.ok ? warnings : problems).push(...found.map((each) => inFile(item, each)));
    if (result.ok) specs.push({ ...result.spec, options: { ...defaults, ...result.spec.options } });
  }
  const name = settings.get('name');
  return { name: name?.kind === 'string' ? name.value : undefined, specs, problems, warnings };
}
