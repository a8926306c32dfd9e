/** What `pciback status` shows: plain data, the same over the library and over the control socket. */
import type { Sbdf } from '../address.ts';
import { formatSbdf, formatVdev } from '../address.ts';
import { type GuestView, xenbusStateName } from '../xenbus/index.ts';
import type { GuestSession } from './guest-session.ts';
import type { Records } from './records.ts';
import type { Unsaved } from './saver.ts';
import { type Entry, type Registry, contextOf, stateOf } from './registry.ts';
import { isReachedByDeviceModel } from './waits.ts';

/** Whose back-end serves a guest: this one, or the kernel's xen-pciback, to which it was left. */
export type ServedBy = 'pciback' | 'kernel';

export interface ExportedStatus {
  readonly sbdf: string;
  /** The address on the guest's bus. */
  readonly vdev: string | null;
  readonly state: string;
  /** Since when it is being reset; RFC 3339, UTC. Null when it is not. */
  readonly resettingSince: string | null;
  /** Null while its record cannot be looked at. */
  readonly requests: number | null;
  readonly denied: number | null;
}

export interface GuestStatus {
  readonly domid: number;
  readonly name: string;
  readonly servedBy: ServedBy;
  /** Where the back-end's machine stands. */
  readonly state: string;
  readonly backendState: string;
  readonly frontendState: string;
  readonly functions: readonly ExportedStatus[];
  /** A device model works with the functions of an HVM guest, whose front-end never comes up. */
  readonly reachedBy: 'front-end' | 'device model';
  /** What the guest's next step depends on; null when nothing is outstanding. */
  readonly waitingFor: string | null;
  /** Since when that is so; RFC 3339, UTC. */
  readonly waitingSince: string | null;
}

export interface FunctionStatus {
  readonly sbdf: string;
  readonly state: string;
  /** Since when it is being reset; RFC 3339, UTC. Null when it is not. */
  readonly resettingSince: string | null;
  readonly owner: number | null;
  /** Whose back-end serves the owner, when there is one. */
  readonly servedBy?: ServedBy;
  /** Why it is quarantined, or what has become of it meanwhile; null when it is well. */
  readonly reason: string | null;
}

export interface BackendStatus {
  readonly pid: number;
  readonly directory: string;
  readonly topology: string;
  readonly state: string;
  /** Whether this daemon was the stand-in of one that died. */
  readonly tookOver: boolean;
  /** The process that takes over when this one dies; null when there is none. */
  readonly standIn: number | null;
  /** What of the state directory could not be written; null when all is saved. */
  readonly stateNotSaved: Unsaved | null;
  readonly guests: readonly GuestStatus[];
  readonly functions: readonly FunctionStatus[];
}

export function guestStatus(session: GuestSession, registry: Registry, records: Records): GuestStatus {
  const { domid, state, view, wait } = session;
  return {
    domid,
    name: view.name,
    servedBy: 'pciback',
    state,
    backendState: xenbusStateName(view.state),
    frontendState: xenbusStateName(view.frontendState),
    functions: session.exported.map(({ sbdf, guestAddress }) => {
      const entry = registry.get(sbdf);
      return {
        sbdf: formatSbdf(sbdf),
        vdev: guestAddress === undefined ? null : formatVdev(guestAddress),
        state: entry ? stateOf(entry) : 'gone',
        resettingSince: entry?.resettingSince ?? null,
        ...counters(records, sbdf),
      };
    }),
    reachedBy: isReachedByDeviceModel(view) ? 'device model' : 'front-end',
    waitingFor: wait?.for ?? null,
    waitingSince: wait && new Date(Date.now() - wait.milliseconds).toISOString(),
  };
}

/** A guest of the kernel's: what its directories say. Nobody here waits for it. */
export function kernelGuestStatus(domid: number, view: GuestView, registry: Registry): GuestStatus {
  return {
    domid,
    name: view.name,
    servedBy: 'kernel',
    state: 'left',
    backendState: xenbusStateName(view.state),
    frontendState: xenbusStateName(view.frontendState),
    functions: (view.devices ?? []).flatMap(({ sbdf, vdev }) => {
      if (sbdf === undefined) return [];
      const entry = registry.get(sbdf);
      return {
        sbdf: formatSbdf(sbdf),
        vdev: vdev === undefined ? null : formatVdev(vdev),
        state: entry ? stateOf(entry) : 'host',
        resettingSince: entry?.resettingSince ?? null,
        requests: null,
        denied: null,
      };
    }),
    reachedBy: isReachedByDeviceModel(view) ? 'device model' : 'front-end',
    waitingFor: null,
    waitingSince: null,
  };
}

/** Counted by the worker into memory that this thread sees too. */
function counters(records: Records, sbdf: Sbdf): Pick<ExportedStatus, 'requests' | 'denied'> {
  const record = records.ifAny(sbdf);
  if (record === null) return { requests: null, denied: null };
  return { requests: record ? record.reads + record.writes : 0, denied: record?.denied ?? 0 };
}

export function functionStatus(
  entry: Entry,
  registry: Registry,
  { problem, isKernels }: { readonly problem: string | null; readonly isKernels: (domid: number) => boolean },
): FunctionStatus {
  const { sbdf } = entry.facts;
  const owner = registry.ownerOf(sbdf) ?? null;
  const failure = stateOf(entry) === 'quarantined' ? contextOf(entry).failure : null;
  return {
    sbdf: formatSbdf(sbdf),
    state: stateOf(entry),
    resettingSince: entry.resettingSince ?? null,
    owner,
    ...(owner === null ? {} : { servedBy: isKernels(owner) ? 'kernel' : 'pciback' }),
    reason: failure?.message ?? problem,
  };
}
