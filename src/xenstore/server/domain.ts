import type { PermissionLetter } from '../permission.ts';
import type { Session } from './session.ts';

/** What the hypervisor says of a domain that exists. */
export type DomainState = 'running' | 'shutdown' | 'dying';

export interface Domain {
  readonly domid: number;
  /** When it became known. Domain ids are used again: what was granted to a number earlier was meant for another domain. */
  readonly since: number;
  introduced: boolean;
  /** Its shutdown has been announced. */
  shutdown: boolean;
  /** The domain that it acts for (a stub domain for its guest). */
  target: Domain | undefined;
  /** Connections, and what they use together. */
  readonly sessions: Set<Session>;
  watches: number;
  transactions: number;
  /** What its requests have taken of the daemon's time, in milliseconds, as `Turns` reckons it. */
  charged: number;
}

export const newDomain = (domid: number, since: number): Domain => ({
  domid,
  since,
  introduced: false,
  shutdown: false,
  target: undefined,
  sessions: new Set(),
  watches: 0,
  transactions: 0,
  charged: 0,
});

export const isPrivileged = (domain: Domain): boolean => domain.domid === 0;

/** One entry of a permission list, with the time it was made. The first names the owner. */
export interface AccessEntry {
  readonly letter: PermissionLetter;
  readonly domid: number;
  readonly since: number;
}

export type AccessList = readonly [AccessEntry, ...AccessEntry[]];

/** What a domain may do to a node, as bits. */
export const Right = { read: 1, write: 2, own: 4 } as const;
const everything = Right.read | Right.write | Right.own;
const ofLetter: Record<PermissionLetter, number> = {
  n: 0,
  r: Right.read,
  w: Right.write,
  b: Right.read | Right.write,
};

export function rightsOf(domain: Domain, list: AccessList): number {
  if (isPrivileged(domain)) return everything;
  const [owner, ...others] = list;
  if (names(owner, domain)) return everything;
  return ofLetter[(others.find((entry) => names(entry, domain)) ?? owner).letter];
}

const names = (entry: AccessEntry, domain: Domain): boolean =>
  namesItself(entry, domain) || (domain.target !== undefined && namesItself(entry, domain.target));

const namesItself = (entry: AccessEntry, domain: Domain): boolean =>
  entry.domid === domain.domid && entry.since >= domain.since;
