#!/usr/bin/env node
import { reportDefect, reportFailure, warn } from './failure.ts';
import { Output } from './output.ts';
import { runProgram } from './program.ts';
import { standardError } from './standard.ts';

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
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let interrupted: number | undefined;
const output = new Output();
const interrupt = (signal: NodeJS.Signals): void => {
  // A terminal that is closed is a reader that has gone. Node.js takes back what nohup(1) asks for.
  if (signal === 'SIGHUP' && !output.waitsForReader) return;
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

/** Writes what can be written soon. */
const farewell = (): void => {
  output.drain();
  standardError().drain();
};

// Node would print both itself, and wait for it: a terminal that is stopped would stop the process.
process.on('uncaughtException', (error) => {
  reportDefect(error);
  farewell();
  process.exit(1);
});
if (process.listenerCount('warning') > 0) {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => warn(`${name}: ${message}`));
}

/** Runs the command and returns its exit code. Rejects with Interrupted, after the command has undone what was half done. */
async function main(): Promise<number> {
  try {
    await runProgram(process.argv.slice(2), process.env, { output, signal: interruption.signal });
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    const code = reportFailure(error);
    if (output.waitsForReader) await standardError().idle(interruption.signal);
    return code;
  }
}

try {
  process.exitCode = await main();
  farewell();
} catch (error) {
  farewell();
  if (!(error instanceof Interrupted)) throw error;
  endBy(error.signal);
}
