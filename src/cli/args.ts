/** From the words of the command line to a command and what it was given. Throws USAGE. */
import { parseArgs } from 'node:util';
import { PcibackError } from '../errors.ts';
import { nearest } from '../toolstack/nearest.ts';
import { type Command, commonOptions, type Invocation, type Options } from './command.ts';
import type { CommandEntry } from './commands.ts';

/** The one of the known words that was meant, or what to do to see them all. */
export function remedyFor(word: string, known: readonly string[], otherwise: string): string {
  const meant = nearest(word, known);
  return meant === undefined ? otherwise : `did you mean ${meant}? ${otherwise}`;
}

type Values = Invocation['options'];

/** Takes the words that follow the name of a command apart. */
export function parseInvocation(
  { name }: CommandEntry,
  command: Command,
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Invocation {
  const table: Options = { ...command.options, ...commonOptions };
  const seeHelp = `see pciback ${name} --help`;
  const usage = (message: string, remedy: string): PcibackError => new PcibackError('USAGE', message, remedy);
  const config = Object.fromEntries(
    Object.entries(table).map(([each, { type, short }]) => [each, { type, ...(short && { short }) }]),
  );
  // Not strict: its own messages do not know what was meant.
  const { tokens } = parseArgs({ args: [...words], options: config, strict: false, tokens: true });

  const options: Record<string, string | true> = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { rawName, value, inlineValue } = token;
    const option = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (!option) {
      const known = Object.keys(table).map((each) => `--${each}`);
      throw usage(`${name} has no option ${rawName}`, remedyFor(rawName, known, seeHelp));
    }
    if (Object.hasOwn(options, token.name)) throw usage(`${rawName} is given twice`, 'give it once');
    if (option.type === 'boolean') {
      if (value !== undefined) throw usage(`${rawName} takes no value`, `write ${rawName} alone`);
      options[token.name] = true;
    } else {
      const missing = value === undefined || value === '' || (!inlineValue && value.startsWith('-'));
      if (missing) throw usage(`${rawName} needs a value`, `write ${rawName} ${option.value ?? 'VALUE'}`);
      options[token.name] = value;
    }
  }
  const setAside = new Set<string>();
  for (const [each, { insteadOf }] of Object.entries(table)) {
    if (insteadOf === undefined || options[each] === undefined) continue;
    if (options[insteadOf] !== undefined)
      throw usage(`--${each} and --${insteadOf} are given together`, `give one of them; ${seeHelp}`);
    setAside.add(insteadOf);
  }
  for (const [each, { env: variable }] of Object.entries(table)) {
    const value = variable && env[variable];
    if (value && !setAside.has(each)) options[each] ??= value;
  }

  if (options['help']) return { options: options as Values, positionals };
  const [least, most] = command.arity;
  const usageLine = `usage: pciback ${name} ${command.operands}`.trimEnd();
  if (positionals.length < least) {
    throw usage(
      `${name} needs ${least === 1 ? 'an operand' : `${least} operands`}`,
      `${usageLine}; ${seeHelp}`,
    );
  }
  if (positionals.length > most) {
    throw usage(`${name} does not know what to do with '${positionals[most]}'`, `${usageLine}; ${seeHelp}`);
  }
  return { options: options as Values, positionals };
}
