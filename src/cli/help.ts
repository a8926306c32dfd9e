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

/** Each option with what it does next to it, in at most 80 columns. */
function optionLines(options: Options): string {
  const explained = Object.entries(options).map(([name, { short, value, help, env }]) => ({
    option: `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`,
    does: env ? `${help}; also ${env}` : help,
  }));
  const width = Math.max(...explained.map(({ option }) => option.length)) + 4;
  return explained
    .map(({ option, does }) => {
      const text = wrap(does, 80 - width).replaceAll('\n', `\n${' '.repeat(width)}`);
      return `  ${option}`.padEnd(width) + text;
    })
    .join('\n');
}

/** Rows without a header. */
const rows = (table: readonly (readonly string[])[]): string => {
  const [first = [], ...others] = table;
  return formatTable(first, others).join('\n');
};

/** What `pciback COMMAND --help` prints. */
export function commandHelp({ name, summary }: CommandEntry, command: Command): string {
  const { operands, description, examples } = command;
  const options = optionLines({ ...command.options, ...commonOptions });
  return [
    `usage: pciback ${name} ${operands}`.trimEnd(),
    `pciback ${name}: ${summary}`,
    wrap(description),
    `Options:\n${options}`,
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
