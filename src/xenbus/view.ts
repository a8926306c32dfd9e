/** What the two directories of a guest say, read anew whenever something in them has changed. */
import { type Sbdf, parseSbdf, parseVdev } from '../address.ts';
import type { FrontendKeys } from './frontend-keys.ts';
import { backendPath, frontendPath } from './paths.ts';
import { XenbusState, parseXenbusState } from './state.ts';
import { parseDecimal } from './text.ts';

/** One function as the toolstack lists it. Its index is no identity: the toolstack renumbers after an unplug. */
export interface DeviceEntry {
  readonly index: number;
  /** Undefined when `dev-N` is missing or no address. */
  readonly sbdf: Sbdf | undefined;
  readonly state: XenbusState;
  /** The address on the guest's bus, once the function has been exported. */
  readonly vdev: Sbdf | undefined;
  /** The `vdevfn-N` key; 0 when any slot will do. */
  readonly requestedDevfn: number;
  readonly permissive: boolean;
}

export interface GuestView {
  /** Counts up with each look at the same guest: of two views the one with the larger number tells more recent news. */
  readonly serial: number;
  /** Whether the back-end directory is there. */
  readonly present: boolean;
  readonly state: XenbusState;
  /** False once the toolstack wants the device gone after closing. */
  readonly online: boolean;
  /** The guest's name, as the toolstack wrote it; empty when it did not. */
  readonly name: string;
  readonly frontendPath: string;
  readonly frontendState: XenbusState;
  /** What the front-end had published, at that moment or later; undefined when nobody has looked. */
  readonly frontendKeys: FrontendKeys | undefined;
  /** Whether xenstored knows the domain. */
  readonly introduced: boolean;
  /** Whether it is an HVM guest: a device model works with its functions, and it has no front-end for them. */
  readonly isHvm: boolean;
  /** Whether the domain was shut down or is being destroyed: its front-end never answers again. */
  readonly ended: boolean;
  /** Undefined until the toolstack has written `num_devs`. */
  readonly devices: readonly DeviceEntry[] | undefined;
  /** What `num_devs` says when that is no number of functions; there are no `devices` then. */
  readonly badCount: string | undefined;
}

/** A bus has 256 functions, and a guest one bus: no honest directory lists more. */
export const mostDevices = 256;

export const absentView = (domid: number): GuestView => ({
  serial: 0,
  present: false,
  state: XenbusState.Unknown,
  online: false,
  name: '',
  frontendPath: frontendPath(domid),
  frontendState: XenbusState.Unknown,
  frontendKeys: undefined,
  introduced: false,
  isHvm: false,
  ended: false,
  devices: undefined,
  badCount: undefined,
});

type Read = (path: string) => Promise<string | undefined>;

/**
 * Reads the back-end directory. Only domain 0 can write there, so it may be read in a transaction without a guest being
 * able to make it fail; the front-end's state, which the guest writes, is left Unknown,
 * and what becomes of the domain, which is nothing in the store, is left open.
 */
export async function readBackendView(read: Read, domid: number): Promise<GuestView> {
  let count = 1;
  for (;;) {
    const view = await askBackendView(read, domid, count);
    if (typeof view !== 'number') return view;
    count = view;
  }
}

/** The same with `count` functions at most, all of it asked for at once; or how many are listed, when they are more. */
export async function askBackendView(read: Read, domid: number, count: number): Promise<GuestView | number> {
  const base = backendPath(domid);
  const [[frontend, frontendId, state, online, name, listed], devices] = await Promise.all([
    Promise.all(
      ['frontend', 'frontend-id', 'state', 'online', 'domain', 'num_devs'].map((key) =>
        read(`${base}/${key}`),
      ),
    ),
    Promise.all(Array.from({ length: count }, (_, index) => readDevice(read, base, index))),
  ]);
  if (frontend === undefined && frontendId === undefined && state === undefined) return absentView(domid);
  const total = parseDecimal(listed, mostDevices);
  if (total !== undefined && total > count) return total;
  return {
    serial: 0,
    present: true,
    state: parseXenbusState(state),
    online: online !== '0',
    name: name ?? '',
    // A front-end elsewhere than in its own domain's directory would be served from somebody else's keys.
    frontendPath: frontend?.startsWith(`/local/domain/${domid}/`) ? frontend : frontendPath(domid),
    frontendState: XenbusState.Unknown,
    frontendKeys: undefined,
    introduced: false,
    isHvm: false,
    ended: false,
    devices: total === undefined ? undefined : devices.slice(0, total),
    badCount: total === undefined ? listed : undefined,
  };
}

async function readDevice(read: Read, base: string, index: number): Promise<DeviceEntry> {
  const [dev, state, vdev, vdevfn, options] = await Promise.all(
    ['dev', 'state', 'vdev', 'vdevfn', 'opts'].map((key) => read(`${base}/${key}-${index}`)),
  );
  return {
    index,
    sbdf: dev === undefined ? undefined : parseSbdf(dev),
    state: parseXenbusState(state),
    vdev: vdev === undefined ? undefined : parseVdev(vdev),
    requestedDevfn: /^[0-9a-f]{1,2}$/i.test(vdevfn ?? '') ? Number.parseInt(vdevfn ?? '0', 16) : 0,
    permissive: /(?:^|,)permissive=1(?:,|$)/.test(options ?? ''),
  };
}
