#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { PcibackError } from '../toolstack/index.ts';
import { parseInvocation, remedyFor } from './args.ts';
import { type CommandEntry, commands } from './commands.ts';
import { reportFailure } from './failure.ts';
import { commandHelp, generalHelp } from './help.ts';
import { Output } from './output.ts';

/** Why a command ends early. */
class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`);
    this.signal = signal;
  }
}

/** Aborts on the first SIGINT or SIGTERM; the second one then ends the process as if nobody listened. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new Interrupted(signal)));
  }
  return controller.signal;
}

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

function version(): string {
  // The compiled file is one directory deeper than the source.
  const place = import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json';
  const { version: text } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
    version: string;
  };
  return text;
}

async function main(words: readonly string[], output: Output): Promise<void> {
  const [first = '--help', ...others] = words;
  const [second] = others;
  if (first === '--version') return output.print(version());
  const asksForHelp = ['--help', '-h', 'help'].includes(first);
  if (asksForHelp && second === undefined) return output.print(generalHelp(commands));
  const entry = findCommand(asksForHelp && second !== undefined ? second : first);
  const command = await entry.load();
  const invocation = parseInvocation(entry, command, asksForHelp ? ['--help'] : others, process.env);
  if (invocation.options.help) return output.print(commandHelp(entry, command));
  await command.run(invocation, { output, signal: interruption() });
}

// Whoever reads our errors may have gone away; that is no error of its own.
process.stderr.on('error', () => {});
try {
  await main(process.argv.slice(2), new Output());
} catch (error) {
  // The caller is to see that the signal ended us.
  if (error instanceof Interrupted) process.kill(process.pid, error.signal);
  else process.exitCode = reportFailure(error);
}
