import { type Command, commonOptions, type Options } from './command.ts';
import type { CommandEntry } from './commands.ts';
import { formatTable } from './table.ts';

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');

/** Breaks paragraphs, which blank lines separate, into lines of at most 80 columns. */
export function wrap(text: string, width = 80): string {
  const paragraphs = text.split(/\n{2,}/).map((paragraph) => {
    const lines: string[] = [];
    for (const word of paragraph.split(/\s+/).filter(Boolean)) {
      const last = lines.at(-1);
      if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
      else lines[lines.length - 1] = `${last} ${word}`;
    }
    return lines.join('\n');
  });
  return paragraphs.join('\n\n');
}

function optionRows(options: Options): string[][] {
  return Object.entries(options).map(([name, { short, value, help, env }]) => [
    `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`,
    env ? `${help}; also ${env}` : help,
  ]);
}

/** Rows without a header. */
const rows = (table: readonly (readonly string[])[]): string => {
  const [first = [], ...others] = table;
  return formatTable(first, others);
};

/** What `pciback COMMAND --help` prints. */
export function commandHelp({ name, summary }: CommandEntry, command: Command): string {
  const { operands, description, examples } = command;
  const options = optionRows({ ...command.options, ...commonOptions });
  return [
    `usage: pciback ${name} ${operands}`.trimEnd(),
    `pciback ${name}: ${summary}`,
    wrap(description),
    `Options:\n${indent(rows(options))}`,
    `${examples.length > 1 ? 'Examples' : 'Example'}:\n${examples
      .map(({ line, does }) => `  # ${does}\n  ${line}`)
      .join('\n')}`,
  ].join('\n\n');
}

/** What `pciback --help` prints. */
export function generalHelp(commands: readonly CommandEntry[]): string {
  return [
    'usage: pciback COMMAND [OPERAND...] [--option...]',
    wrap(
      'A user-space Xen PCI passthrough back-end: takes PCI functions from their host drivers, gives them to guest domains, and checks every configuration access that a guest makes.',
    ),
    `Commands:\n${indent(rows(commands.map(({ name, summary }) => [name, summary])))}`,
    wrap('See it at work on this machine, without Xen and without root: pciback demo'),
    wrap('pciback COMMAND --help explains one of them; pciback --version says which version this is.'),
  ].join('\n\n');
}
