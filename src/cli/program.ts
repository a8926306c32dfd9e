import { PcibackError } from '../errors.ts';
import { packageVersion } from '../package.ts';
import { parseInvocation, remedyFor } from './args.ts';
import type { Context } from './command.ts';
import { withFailure } from './failure.ts';
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

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Does what the words of a command line say, and has what it prints written. Rejects with what made it fail; what is half done then has
 * been undone.
 */
export async function runProgram(words: readonly string[], env: Env, context: Context): Promise<void> {
  const { output, signal } = context;
  const failure = await perform(words, env, context).then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  try {
    if (output.waitsForReader) await output.delivered(signal);
  } catch (error) {
    const failedToo = failure && failure.error !== error && error instanceof PcibackError;
    throw failedToo ? withFailure(error, failure.error) : error;
  }
  if (failure) throw failure.error;
}

async function perform(words: readonly string[], env: Env, context: Context): Promise<void> {
  const { output } = context;
  const [first = '--help', ...others] = words;
  const [second] = others;
  if (first === '--version') return output.print(packageVersion());
  const asksForHelp = ['--help', '-h', 'help'].includes(first);
  if (asksForHelp && second === undefined) return output.print(generalHelp(commands).split('\n'));
  const entry = findCommand(asksForHelp && second !== undefined ? second : first);
  const command = await entry.load();
  const invocation = parseInvocation(entry, command, asksForHelp ? ['--help'] : others, env);
  if (invocation.options.help) return output.print(commandHelp(entry, command).split('\n'));
  if (command.isDaemon) output.waitsForReader = false;
  await command.run(invocation, context);
}
