import type { Platform } from '../host/platform.ts';
import type { Position } from '../../machines/guest.ts';
import { type GuestView, XenbusState, parseXenbusState, readBackendView } from '../xenbus/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';

/** What is asked about a guest beside its directories. */
type Domains = Pick<Platform, 'domainState'>;

/** Reads both directories of a guest, and whether it lives. */
export async function readGuestView(
  xenstore: XenstoreClient,
  domains: Domains,
  domid: number,
): Promise<GuestView> {
  const view = await xenstore.transaction((tx) => readBackendView((path) => tx.read(path), domid));
  if (!view.present) return view;
  const [state, introduced] = await Promise.all([
    xenstore.read(`${view.frontendPath}/state`),
    xenstore.isIntroduced(domid),
  ]);
  const domain = domains.domainState(domid);
  const ended = domain === 'shutdown' || domain === 'dying';
  return { ...view, frontendState: parseXenbusState(state), introduced, ended };
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
