import type { Platform } from '../host/platform.ts';
import type { Position } from '../../machines/guest.ts';
import {
  type GuestView,
  XenbusState,
  absentView,
  askBackendView,
  domainKindPaths,
  frontendKeyNames,
  parseXenbusState,
} from '../xenbus/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';

/** What is asked about a guest beside its directories. */
type Domains = Pick<Platform, 'domainState'>;

/**
 * Reads both directories of a guest, and whether it lives. A view that was read before says what there is to ask for: with a good guess
 * it takes two turns with xenstored.
 */
export async function readGuestView(
  xenstore: XenstoreClient,
  domains: Domains,
  domid: number,
  before: GuestView = absentView(domid),
): Promise<GuestView> {
  const { frontendPath, devices = [] } = before;
  let count = Math.max(devices.length, 1);
  for (;;) {
    const [view, frontend, introduced, isHvm] = await xenstore.snapshot((tx) =>
      Promise.all([
        askBackendView((path) => tx.read(path), domid, count),
        // Not in the transaction, which a guest that writes there could make fail.
        askFrontend(xenstore, frontendPath),
        xenstore.isIntroduced(domid),
        // A domain does not change its kind.
        before.present ? before.isHvm : askWhetherHvm(xenstore, domid),
      ]),
    );
    if (typeof view === 'number') count = view;
    else if (!view.present) return view;
    else if (view.frontendPath !== frontendPath)
      return readGuestView(xenstore, domains, domid, { ...view, isHvm });
    else {
      const domain = domains.domainState(domid);
      const ended = domain === 'shutdown' || domain === 'dying';
      return { ...view, ...frontend, introduced, isHvm, ended };
    }
  }
}

/**
 * Reads what a front-end says, and what it has published, in one turn with xenstored: all that is new since `before` was read when only
 * the front-end has written.
 */
export async function readFrontend(xenstore: XenstoreClient, before: GuestView): Promise<GuestView> {
  return { ...before, ...(await askFrontend(xenstore, before.frontendPath)) };
}

/**
 * PV guests can have a device model too, for consoles and disks, so that one counts only where no toolstack has noted the type, as libxl
 * does (libxl_create.c, libxl__domain_make).
 */
async function askWhetherHvm(xenstore: XenstoreClient, domid: number): Promise<boolean> {
  const paths = domainKindPaths(domid);
  const [type, firmware, deviceModel] = await Promise.all(
    [paths.type, paths.firmware, paths.deviceModel].map((path) => xenstore.read(path)),
  );
  return type === undefined ? firmware !== undefined || deviceModel !== undefined : type === 'hvm';
}

/** Its state first: what it publishes, it has published before it says so. */
async function askFrontend(
  xenstore: XenstoreClient,
  path: string,
): Promise<Pick<GuestView, 'frontendState' | 'frontendKeys'>> {
  const [state, ...frontendKeys] = await Promise.all(
    ['state', ...frontendKeyNames].map((key) => xenstore.read(`${path}/${key}`)),
  );
  return { frontendState: parseXenbusState(state), frontendKeys };
}

/** Where a guest goes on whose back-end had written this state when it was killed, by state. */
export const positionAt: Readonly<Record<XenbusState, Position>> = {
  [XenbusState.Unknown]: 'waiting',
  [XenbusState.Initialising]: 'waiting',
  [XenbusState.InitWait]: 'waiting',
  [XenbusState.Initialised]: 'initialised',
  [XenbusState.Connected]: 'connected',
  // Written by the toolstack, to a back-end that was connected.
  [XenbusState.Reconfiguring]: 'connected',
  [XenbusState.Reconfigured]: 'reconfigured',
  [XenbusState.Closing]: 'closing',
  [XenbusState.Closed]: 'closed',
};
