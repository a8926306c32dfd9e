#!/usr/bin/env node
import { reportFailure } from './failure.ts';
import { Output } from './output.ts';
import { runProgram } from './program.ts';

/** Why a command ends early. */
class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`ended by ${signal}`);
    this.signal = signal;
  }
}

// The first signal lets the command undo what is half done; the second one ends it as if nobody listened.
const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interruption.abort(new Interrupted(signal)));
}
// Whoever reads our errors may have gone away; that is no error of its own.
process.stderr.on('error', () => {});

try {
  await runProgram(process.argv.slice(2), process.env, { output: new Output(), signal: interruption.signal });
} catch (error) {
  // The caller is to see that the signal ended us.
  if (error instanceof Interrupted) process.kill(process.pid, error.signal);
  else process.exitCode = reportFailure(error);
}
