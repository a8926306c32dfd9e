import { PcibackError } from '../errors.ts';
import { packageVersion } from '../package.ts';
import { parseInvocation, remedyFor } from './args.ts';
import type { Context } from './command.ts';
import { type CommandEntry, commands } from './commands.ts';
import { commandHelp, generalHelp } from './help.ts';

function findCommand(word: string): CommandEntry {
  const found = commands.find(({ name }) => name === word);
  if (found) return found;
  const all = 'pciback --help lists the commands';
  if (word.startsWith('-')) {
    throw new PcibackError('USAGE', `pciback has no option ${word}`, `options follow the command; ${all}`);
  }
  const names = commands.map(({ name }) => name);
  throw new PcibackError('USAGE', `there is no command '${word}'`, remedyFor(word, names, all));
}

/** Does what the words of a command line say. Rejects with what made it fail; what is half done then has been undone. */
export async function runProgram(
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  context: Context,
): Promise<void> {
  const { output } = context;
  const [first = '--help', ...others] = words;
  const [second] = others;
  if (first === '--version') return output.print(packageVersion());
  const asksForHelp = ['--help', '-h', 'help'].includes(first);
  if (asksForHelp && second === undefined) return output.print(generalHelp(commands));
  const entry = findCommand(asksForHelp && second !== undefined ? second : first);
  const command = await entry.load();
  const invocation = parseInvocation(entry, command, asksForHelp ? ['--help'] : others, env);
  if (invocation.options.help) return output.print(commandHelp(entry, command));
  await command.run(invocation, context);
}
