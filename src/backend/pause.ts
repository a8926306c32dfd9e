/** Guests are stopped for the moment in which their back-end changes: what they do not see they cannot take for its end. */
import { PcibackError } from '../errors.ts';
import type { Platform } from '../host/platform.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { lastDomid, parseDecimal } from '../xenbus/index.ts';
import { FileStore, type StoreOptions } from './store.ts';

/** Milliseconds that a guest is stopped at most: the kernel resets functions meanwhile, and one of these may hang. */
const longestPause = 30_000;

type Pausing = Pick<Platform, 'pauseDomain' | 'domainIdentity'>;

/** The domains that stand still, by id; each with its identity, because the next one that has its id may be meant to stand. */
export type Pauses = FileStore<string | null>;

export const pauseStore = (directory: string, options?: StoreOptions): Pauses =>
  new FileStore(
    directory,
    (value): value is string | null => value === null || typeof value === 'string',
    options,
  );

/**
 * Does some work while a domain stands still, and lets it go on whatever comes of that. Rejects when the domain cannot be paused, or
 * with what the work rejects with.
 */
export async function whilePaused<T>(
  platform: Pausing,
  pauses: Pick<Pauses, 'put' | 'delete' | 'isSaved'>,
  domid: number,
  work: () => Promise<T>,
): Promise<T> {
  const key = String(domid);
  // Known before it is so: a domain that a killed daemon left standing would stand for ever.
  pauses.put(key, platform.domainIdentity(domid));
  try {
    if (!pauses.isSaved(key)) throw notSaved(domid);
    platform.pauseDomain(domid, true);
  } catch (error) {
    pauses.delete(key);
    throw error;
  }
  let isPaused = true;
  const goOn = (): void => {
    if (!isPaused) return;
    isPaused = false;
    platform.pauseDomain(domid, false);
    pauses.delete(key);
  };
  const timer = setTimeout(() => attempt(goOn), longestPause);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    attempt(goOn);
  }
}

/** Lets domains go on that a killed daemon has left standing. */
export function endPauses(platform: Pausing, pauses: Pauses, emit: (event: BackendEvent) => void): void {
  const damaged: string[] = [];
  const known = pauses.load((name) => damaged.push(name));
  // One that is told by the name of its file alone goes on, too: to stand for ever is worse.
  for (const key of [...known.keys(), ...damaged]) {
    const domid = parseDecimal(key, lastDomid);
    if (domid === undefined) continue;
    try {
      const isAnother = known.has(key) && known.get(key) !== platform.domainIdentity(domid);
      if (!isAnother) platform.pauseDomain(domid, false);
    } catch (error) {
      emit(makeEvent('warning', { domid, ...failureDetails(error) }));
    }
    pauses.delete(key);
  }
}

const notSaved = (domid: number): PcibackError =>
  new PcibackError(
    'STATE-NOT-SAVED',
    `domain ${domid} is not stopped while no file can say that it is`,
    'see that the state directory can be written',
  );

function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // The domain is gone; or else the next daemon finds that it was stopped.
  }
}
