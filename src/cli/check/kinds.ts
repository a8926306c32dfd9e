/** The kinds of files that can be checked: how each is told, and what it says. */
import {
  type BootParameters,
  formatPattern,
  formatSbdf,
  type HideEntry,
  parseBootCfg,
  parseHideList,
  parseKernelCommandLine,
  parseXlCfg,
  type PciOptions,
  type PciSpec,
  type Problem,
  type SpecTarget,
} from '../../toolstack/grammars.ts';
import { formatTable } from '../table.ts';

export interface Meaning {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** In words, a line each. */
  readonly words: readonly string[];
  /** The same as plain data. */
  readonly data: Readonly<Record<string, unknown>>;
}

export const kinds = ['xl.cfg', 'boot.cfg', 'command-line', 'hide-list'] as const;
export type Kind = (typeof kinds)[number];

/** Reads a text as what it is said to be. */
export const readers: Readonly<Record<Kind, (text: string) => Meaning>> = {
  'xl.cfg': readXlCfg,
  'boot.cfg': readBootCfg,
  'command-line': (text) => {
    const parameters = parseKernelCommandLine(text);
    return { ...parameters, words: parameterWords(parameters), data: parameterData(parameters) };
  },
  'hide-list': (text) => {
    const { entries, problems } = parseHideList(text);
    return { problems, warnings: [], words: hideWords(entries), data: { hide: patternsOf(entries) } };
  },
};

/** What a file most likely is, by its name and by what stands in it. */
export function guessKind(file: string, text: string): Kind {
  if (/boot\.cfg$/i.test(file) || /^(?:menu|banner|default|timeout|consdev|clear)=/m.test(text))
    return 'boot.cfg';
  if (/^[\s,()\da-f:.*]*$/i.test(text) && text.includes(':')) return 'hide-list';
  if (/^\s*\(/.test(text)) return 'hide-list';
  if (/(?:^|\s)"?(?:xen[-_])?pciback\.\w+/i.test(text)) return 'command-line';
  if (/\.(?:cfg|conf|xl|hvm|pv)$/i.test(file) || /^\s*\w+\s*\+?=\s*['"[]/m.test(text)) return 'xl.cfg';
  return text.trim().includes('\n') ? 'xl.cfg' : 'command-line';
}

function targetWords(target: SpecTarget): string {
  switch (target.kind) {
    case 'address':
      return patternWords(target.pattern);
    case 'name':
      return `the function called ${target.name}`;
    case 'path':
      return `behind the bridge ${formatSbdf(target.path.root)}`;
  }
}

const patternWords = (pattern: HideEntry['pattern']): string => {
  const text = formatPattern(pattern);
  if (pattern.device === null) return `${text}, all functions of a bus`;
  return pattern.fn === null ? `${text}, all functions of a slot` : text;
};

/** Options that are set, in words; those that are off go without saying. */
const optionWords = ({ rdmPolicy, ...flags }: Partial<PciOptions>): string =>
  [
    ...Object.entries(flags).flatMap(([name, on]) => (on ? [optionNames[name] ?? name] : [])),
    ...(rdmPolicy === undefined ? [] : [`rdm_policy=${rdmPolicy}`]),
  ].join(', ') || '-';

const optionNames: Readonly<Record<string, string>> = { powerManagement: 'power_mgmt' };

function specRow({ text, target, vslot, options }: PciSpec): string[] {
  return [text, targetWords(target), vslot === 0 ? 'any' : vslot.toString(16), optionWords(options)];
}

function specData({ text, target, vslot, options }: PciSpec): Record<string, unknown> {
  const named =
    target.kind === 'address'
      ? { address: formatPattern(target.pattern) }
      : target.kind === 'name'
        ? { name: target.name }
        : { path: target.path };
  return { spec: text, ...named, slot: vslot, options };
}

function readXlCfg(text: string): Meaning {
  const { name, specs, problems, warnings } = parseXlCfg(text);
  const guest = name === undefined ? 'the guest' : `guest ${name}`;
  const words =
    specs.length === 0
      ? [`${guest} gets no PCI functions`]
      : [`${guest} gets:`, ...formatTable(['SPEC', 'FUNCTION', 'SLOT', 'OPTIONS'], specs.map(specRow))];
  return { problems, warnings, words, data: { guest: name ?? null, devices: specs.map(specData) } };
}

function readBootCfg(text: string): Meaning {
  const { entries, chosen, problems, warnings } = parseBootCfg(text);
  const words = entries.flatMap((entry) => [
    `menu entry "${entry.title}" loads ${entry.kernel}${entry === chosen ? ', by default' : ''}`,
    ...parameterWords(entry.parameters).map((line) => `  ${line}`),
  ]);
  const data = entries.map((entry) => ({
    title: entry.title,
    kernel: entry.kernel,
    default: entry === chosen,
    ...parameterData(entry.parameters),
  }));
  return {
    problems,
    warnings,
    words: words.length === 0 ? ['no menu entry loads a kernel with parameters'] : words,
    data: { entries: data },
  };
}

const patternsOf = (entries: readonly HideEntry[]): string[] =>
  entries.map(({ pattern }) => formatPattern(pattern));

const parameterData = ({ entries, passthrough }: BootParameters): Record<string, unknown> => ({
  hide: patternsOf(entries),
  passthrough,
});

const parameterWords = ({ entries, passthrough }: BootParameters): string[] => [
  ...hideWords(entries),
  ...(passthrough ? ['guests see functions where the host has them'] : []),
];

const hideWords = (entries: readonly HideEntry[]): string[] =>
  entries.length === 0 ? ['hides nothing'] : entries.map(({ pattern }) => `hides ${patternWords(pattern)}`);
