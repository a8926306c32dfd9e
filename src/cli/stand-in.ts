/** The process of a daemon that takes over when it dies: the same program with the same words, connected to it by a channel. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { getPriority, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StandInProcess, StandsIn, Succession } from '../index.ts';

/** Says to a process that it is a stand-in; the value is what a daemon tells it. */
const variable = 'PCIBACK_STAND_IN';

export function startStandIn(succession: Succession): StandInProcess {
  // It is ended without a warning, and cannot clear up after itself.
  const scratch = mkdtempSync(join(tmpdir(), 'pciback-'));
  // Not `detached`, which would also give it a session of its own: `leaveProcessGroup` says why that is no good.
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [variable]: JSON.stringify({ succession, scratch }) },
  });
  child.once('exit', () => removeTree(scratch));
  const ended = new Promise<string>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  child.unref();
  child.channel?.unref();
  return {
    pid: child.pid ?? 0,
    ready: new Promise((resolve) => child.once('message', () => resolve())),
    ended,
    async end() {
      child.ref();
      // It holds nothing yet that it would have to let go of.
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** What cannot be removed is left: the daemon goes on. */
function removeTree(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    // A directory for scratch, of which nobody needs anything.
  }
}

/** What this process is to be when a daemon has started it as its stand-in. */
export async function standsIn(): Promise<StandsIn | undefined> {
  const said = process.env[variable];
  if (said === undefined || !process.channel) return undefined;
  delete process.env[variable];
  const orphaned = new AbortController();
  process.once('disconnect', () => orphaned.abort());
  process.channel.unref();
  const priority = stepBack();
  // Loaded only now: no other serve needs it before it starts.
  const { leaveProcessGroup } = await import('../host/index.ts');
  leaveProcessGroup();
  return {
    ...(JSON.parse(said) as Pick<StandsIn, 'succession' | 'scratch'>),
    priority,
    orphaned: orphaned.signal,
    ready: () => process.send?.('ready'),
  };
}

/** Half of the weight of the daemon (sched(7)): guests come first, but without a stand-in they should not be for long. */
const stepsBack = 3;
/** Ten times its weight: while one takes over, all guests of the host wait. */
const stepsForward = 10;

/**
 * Leaves most of the processors to the daemon while this process loads; at the lowest priority it would never have loaded next to a guest
 * that keeps a daemon on a single processor busy. What the priority is to be after that; undefined where it cannot be chosen.
 */
function stepBack(): StandsIn['priority'] {
  if (process.geteuid?.() !== 0) return undefined;
  const serving = getPriority();
  setPriority(Math.min(serving + stepsBack, 19));
  return { takingOver: Math.max(serving - stepsForward, -20), serving };
}

/** How often it is looked whether the directory is still there, in milliseconds: inotify does not always tell that it is not. */
const lookEvery = 1000;

/** Calls `onGone` when the directory has been removed: nobody who could want anything is left. Does not keep the process. */
export function whenGone(directory: string, onGone: () => void): void {
  const looking = setInterval(() => {
    if (existsSync(directory)) return;
    clearInterval(looking);
    onGone();
  }, lookEvery);
  looking.unref();
}
