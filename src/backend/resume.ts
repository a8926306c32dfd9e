/**
 * Guests of a predecessor that died are served again by what it has left in the file system, before xenstored is asked what has become
 * of them: their front-ends wait, and Linux's does not wait for long. That is safe because the hypervisor decides whether there still is
 * such a guest. The domain has to be the one that was served, and not another one that was given its id. The page has to be one that it
 * grants to us, and on Xen its event channel one that nobody has bound; nothing is written to the page before both are ours. Whoever looks
 * after the guest afterwards ends what should not be served.
 */
import type { Piscina } from 'piscina';
import { isExported } from '../../machines/function.ts';
import type { Assignment, WorkerTask } from '../../workers/messages.ts';
import type { Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { Platform, PlatformOptions } from '../host/platform.ts';
import type { BackendEvent } from '../monitor/index.ts';
import type { PublishedRing } from '../ring/index.ts';
import { lastDomid, parseDecimal } from '../xenbus/index.ts';
import { GuestWorker, type Report } from './guest-worker.ts';
import { type Registry, contextOf, stateOf } from './registry.ts';
import { FileStore, type StoreOptions } from './store.ts';
import { eventsOf } from './worker-events.ts';

/** The ring of a guest that is served, and our end of its event channel. */
export interface ServedRing extends PublishedRing {
  readonly localPort: number;
  /** The domain that granted it (`Platform.domainIdentity`); unknown where an older version has noted it. */
  readonly domain?: string | null;
}

const isServedRing = (value: unknown): value is ServedRing => {
  const ring = value as ServedRing | null;
  return [ring?.grantRef, ring?.port, ring?.localPort].every((each) => typeof each === 'number');
};

/** Rings by the domains whose they are, as they are kept for a successor. */
export const ringStore = (directory: string, options?: StoreOptions): FileStore<ServedRing> =>
  new FileStore(directory, isServedRing, options);

/** The functions that a guest sees, as a worker needs them to go on with them; not those that are being taken from it. */
export const assignmentsOf = (registry: Registry, domid: number): readonly Assignment[] =>
  registry.ownedBy(domid).flatMap((sbdf: Sbdf) => {
    const entry = registry.get(sbdf);
    if (!entry) return [];
    const { guestAddress } = contextOf(entry);
    if (guestAddress === null || entry.isLeaving || !isExported(stateOf(entry))) return [];
    const { seized, snapshot, mode, domain } = entry;
    return [{ sbdf, guestAddress, seized, snapshot, mode, domain }];
  });

/**
 * What a worker reports that a successor has to know. A guest may come and go all the time, and which of its rings a successor tries
 * first only decides how soon it is served again.
 */
export function note(report: Report, domid: number, registry: Registry, rings: FileStore<ServedRing>): void {
  if (report.is === 'function') registry.update(report.sbdf, report.snapshot);
  if (report.is === 'bound') {
    const { ring, localPort, domain } = report;
    rings.put(String(domid), { ...ring, localPort, domain }, 'soon');
  }
}

interface Parts {
  readonly platform: Pick<Platform, 'domainIdentity'>;
  readonly pool: Piscina<WorkerTask, void>;
  readonly where: PlatformOptions;
  readonly registry: Registry;
  readonly rings: FileStore<ServedRing>;
  readonly emit: (event: BackendEvent) => void;
}

/** Without those that the kernel's own back-end serves by now: a guest has one back-end. */
export function servedByUs(
  served: ReadonlyMap<string, ServedRing>,
  platform: Pick<Platform, 'kernelServes'>,
  rings: Pick<FileStore<ServedRing>, 'delete'>,
): ReadonlyMap<string, ServedRing> {
  return new Map(
    [...served].filter(([name]) => {
      const domid = parseDecimal(name, lastDomid);
      if (domid === undefined || !platform.kernelServes(domid)) return true;
      rings.delete(name);
      return false;
    }),
  );
}

/** Has a worker begin with each of these guests that has functions. */
export function resumeGuests(
  { platform, pool, where, registry, rings, emit }: Parts,
  served: ReadonlyMap<string, ServedRing>,
): Map<number, GuestWorker> {
  const resumed = new Map<number, GuestWorker>();
  for (const [name, { grantRef, port, domain = null }] of served) {
    const domid = parseDecimal(name, lastDomid);
    if (domid === undefined || domain === null || !isDomain(platform, domid, domain)) continue;
    const assignments = assignmentsOf(registry, domid);
    if (assignments.length === 0) continue;
    const hear = (report: Report): void => {
      note(report, domid, registry, rings);
      for (const event of eventsOf(report, domid, registry)) emit(event);
    };
    const ring = { grantRef, port };
    resumed.set(domid, new GuestWorker(pool, domid, where, hear, { assignments, ring }, domain));
  }
  return resumed;
}

/** Whether the domain of this id is this one. While nobody can tell, xenstored is asked first. */
function isDomain(platform: Parts['platform'], domid: number, domain: string): boolean {
  try {
    return platform.domainIdentity(domid) === domain;
  } catch (error) {
    if (error instanceof PcibackError) return false;
    throw error;
  }
}

/** Ends those that nobody has taken over: their guests are not ours any more, or nobody can tell. */
export async function endUnclaimed(
  resumed: Map<number, GuestWorker>,
  rings: FileStore<ServedRing>,
): Promise<void> {
  const unclaimed = [...resumed];
  resumed.clear();
  for (const [domid, worker] of unclaimed) {
    await worker.end();
    rings.delete(String(domid));
  }
}
