/** What xenstore says of functions and of the guests that have some. */
import { parseSbdf, type Sbdf } from '../../address.ts';
import {
  backendPath,
  backendRoot,
  domainPath,
  frontendPath,
  lastDomid,
  parseXenbusState,
  xenbusStateName,
} from '../../xenbus/index.ts';
import type { XenstoreAccess } from '../../xenstore/index.ts';
import type { GuestFacts, StoreFacts } from '../facts.ts';

export type Store = Pick<XenstoreAccess, 'read' | 'directory'>;

/** Guests are looked at up to this number: each costs several requests. */
const mostGuests = 256;
const longestName = 64;

const domidsIn = (names: readonly string[] | undefined): readonly number[] =>
  (names ?? [])
    .filter((name) => /^(?:0|[1-9]\d{0,4})$/.test(name))
    .map(Number)
    .filter((domid) => domid <= lastDomid);

export async function gatherStore(store: Store): Promise<StoreFacts> {
  const domains = new Set(domidsIn(await store.directory('/local/domain')));
  const claims = new Map<Sbdf, { domid: number; exists: boolean }>();
  for (const name of (await store.directory('/libxl/pci')) ?? []) {
    const sbdf = parseSbdf(name.replace(/^(\w+)-(\w+)-(\w+)-(\w)$/, '$1:$2:$3.$4'));
    const [domid] =
      sbdf === undefined ? [] : domidsIn([(await store.read(`/libxl/pci/${name}/domid`)) ?? '']);
    if (sbdf !== undefined && domid !== undefined) claims.set(sbdf, { domid, exists: domains.has(domid) });
  }
  const withFunctions = domidsIn(await store.directory(backendRoot)).slice(0, mostGuests);
  const guests = await Promise.all(
    withFunctions.map((domid) => gatherGuest(store, domid, domains.has(domid))),
  );
  return { claims, guests };
}

async function gatherGuest(store: Store, domid: number, exists: boolean): Promise<GuestFacts> {
  const stateAt = async (path: string): Promise<string> =>
    xenbusStateName(parseXenbusState(await store.read(`${path}/state`)));
  const [name, backendState, frontendState] = await Promise.all([
    store.read(`${domainPath(domid)}/name`),
    stateAt(backendPath(domid)),
    stateAt(frontendPath(domid)),
  ]);
  return { domid, name: (name ?? '').slice(0, longestName), exists, backendState, frontendState };
}
