/**
 * Whose turn it is to serve the guests of a host: whoever has the lock, which the kernel takes from a process that dies. A
 * stand-in waits for that; a daemon that is started while a stand-in serves asks it to hand over.
 */
import { deadlineSignal } from '../deadline.ts';
import { PcibackError } from '../errors.ts';
import { type FileLock, lockFile, waitForLock } from '../host/index.ts';
import { ControlClient } from '../monitor/index.ts';
import { unusable } from './make-directory.ts';
import type { StandsIn } from './options.ts';
import type { StateDirectory } from './state-directory.ts';
import type { BackendStatus } from './status.ts';

/** Where it is decided. */
export interface Place {
  /** What is served, for messages. */
  readonly directory: string;
  readonly state: StateDirectory;
  /** Where who serves it can be asked. */
  readonly controlSocket: string | undefined;
}

/** Milliseconds in which one who lets go has done so: ending the threads is most of it. */
const handOverPatience = 10_000;

/** Milliseconds after the death of the daemon in which its lock has surely been given away. */
const mourning = 5000;

/**
 * Takes the turn if it is nobody's. Undefined when a stand-in has it, which can be asked for it, or when who has it cannot be asked
 * yet. Rejects with DAEMON-RUNNING.
 */
export async function takeFreeTurn(place: Place): Promise<FileLock | undefined> {
  const lock = lockOf(place);
  if (lock) return lock;
  const isStandIn = await whileAsking(place, (holder) => isServedByStandIn(holder)).catch(
    (error: unknown) => {
      // Between its predecessor's death and its own first words a stand-in cannot be asked.
      if (error instanceof PcibackError && error.reason === 'NO-DAEMON') return true;
      throw error;
    },
  );
  if (!isStandIn) throw running(place);
  return undefined;
}

/** Throws BAD-DIRECTORY, as where a link is in the place of the lock. */
function lockOf({ state }: Place): FileLock | false {
  try {
    return lockFile(state.lock);
  } catch (error) {
    throw unusable(state.lock, error);
  }
}

/** Asks the stand-in that serves the guests to hand over, and waits until it has. Rejects with DAEMON-RUNNING or STATE-NOT-SAVED. */
export async function takeOver(place: Place, signal: AbortSignal): Promise<FileLock> {
  const refused = new AbortController();
  const limit = deadlineSignal(handOverPatience);
  const limits = [signal, refused.signal, limit.signal];
  const lock = waitForLock(place.state.lock, AbortSignal.any(limits));
  // Waits before it asks, so that no other daemon comes in between.
  const asked = whileAsking(place, (holder) => holder.call('handOver')).catch((error: unknown) =>
    refused.abort(error),
  );
  try {
    return await lock;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PcibackError && error.reason === 'STATE-NOT-SAVED') throw error;
    throw running(place, error);
  } finally {
    limit.cancel();
    await asked;
  }
}

/**
 * Waits for the death of the daemon that this process stands in for; other stand-ins wait their turn to wait. Rejects with STOPPED
 * when another daemon was faster, and with the reason of `signal`.
 */
export async function awaitDeath(
  place: Place,
  { orphaned, ready }: StandsIn,
  signal: AbortSignal,
): Promise<FileLock> {
  const superfluous = new AbortController();
  let alarm: NodeJS.Timeout | undefined;
  const mourn = (): void => {
    alarm = setTimeout(() => superfluous.abort(outrun(place)), mourning);
  };
  if (orphaned.aborted) mourn();
  else orphaned.addEventListener('abort', mourn, { once: true });
  const ended = AbortSignal.any([signal, superfluous.signal]);
  try {
    const only = await waitForLock(place.state.standInLock, ended);
    try {
      ready();
      return await waitForLock(place.state.lock, ended);
    } finally {
      only.unlock();
    }
  } finally {
    orphaned.removeEventListener('abort', mourn);
    clearTimeout(alarm);
  }
}

/** Throws DAEMON-RUNNING unless this daemon has taken over as a stand-in: no other one makes room. */
export function requireStandIn(hasTakenOver: boolean, directory: string): void {
  if (!hasTakenOver) throw running({ directory });
}

async function whileAsking<T>(
  { controlSocket, ...place }: Place,
  ask: (holder: ControlClient) => Promise<T>,
): Promise<T> {
  if (controlSocket === undefined) throw running(place);
  const holder = await ControlClient.connect(controlSocket);
  try {
    return await ask(holder);
  } finally {
    holder.close();
  }
}

async function isServedByStandIn(holder: ControlClient): Promise<boolean> {
  const { tookOver } = await holder.call<Partial<BackendStatus>>('status');
  return tookOver === true;
}

const running = ({ directory }: Pick<Place, 'directory'>, cause?: unknown): PcibackError =>
  new PcibackError(
    'DAEMON-RUNNING',
    `a pciback daemon serves ${directory} already`,
    'use that one (pciback status), or stop it first',
    { cause },
  );

const outrun = ({ directory }: Place): PcibackError =>
  new PcibackError('STOPPED', `another daemon serves ${directory}`, 'nothing: it has a stand-in of its own');
