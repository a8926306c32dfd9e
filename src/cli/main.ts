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

/** Milliseconds in which a signal is the first one once more: npm and timeout(1) pass on what a terminal has sent to all of them. */
const echo = 500;

// The first signal lets the command undo what is half done; the second one ends it as if nobody listened.
const interruption = new AbortController();
const signals = ['SIGINT', 'SIGTERM'] as const;
let interrupted: number | undefined;
const interrupt = (signal: NodeJS.Signals): void => {
  const now = performance.now();
  interrupted ??= now;
  interruption.abort(new Interrupted(signal));
  if (now - interrupted > echo) endBy(signal);
};
for (const signal of signals) process.on(signal, interrupt);

/** The caller is to see that the signal ended us. */
function endBy(signal: NodeJS.Signals): void {
  for (const each of signals) process.off(each, interrupt);
  process.kill(process.pid, signal);
}

// Whoever reads our errors may have gone away; that is no error of its own.
process.stderr.on('error', () => {});

try {
  await runProgram(process.argv.slice(2), process.env, { output: new Output(), signal: interruption.signal });
} catch (error) {
  if (error instanceof Interrupted) endBy(error.signal);
  else process.exitCode = reportFailure(error);
}
