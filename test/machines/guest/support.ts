/** A guest to ask its machine about: what its directories say, and where the machine stands. */
import { type GuestContext, guestMachine } from '../../../machines/guest.ts';
import { makeSbdf } from '../../../src/address.ts';
import { type DeviceEntry, type GuestView, XenbusState, frontendPath } from '../../../src/xenbus/index.ts';
import { withEndlessEffects } from '../pairs.ts';

/** The machine with effects that end when a test says so. */
export const machine = withEndlessEffects(guestMachine);
export const sbdf = makeSbdf(0, 3, 0, 0);
export const another = makeSbdf(0, 4, 0, 0);

export const listed = (state: XenbusState, address = sbdf): DeviceEntry => ({
  index: 0,
  sbdf: address,
  state,
  vdev: undefined,
  requestedDevfn: 0,
  permissive: false,
});

export const view = (own: XenbusState, frontend: XenbusState, more: Partial<GuestView> = {}): GuestView => ({
  serial: 0,
  present: true,
  state: own,
  online: true,
  name: 'guest',
  frontendPath: frontendPath(5),
  frontendState: frontend,
  frontendKeys: undefined,
  introduced: true,
  isHvm: false,
  ended: false,
  devices: [listed(XenbusState.Initialised)],
  badCount: undefined,
  ...more,
});

/** The state that we have left in xenstore when the machine is in each of its states. */
const written: Record<string, XenbusState> = {
  seen: XenbusState.Unknown,
  announcing: XenbusState.Initialising,
  waiting: XenbusState.InitWait,
  exporting: XenbusState.InitWait,
  initialised: XenbusState.Initialised,
  adopting: XenbusState.Connected,
  connecting: XenbusState.Initialised,
  connected: XenbusState.Connected,
  reconfiguring: XenbusState.Reconfiguring,
  reconfigured: XenbusState.Reconfigured,
  resuming: XenbusState.Reconfigured,
  restarting: XenbusState.Connected,
  disconnecting: XenbusState.Connected,
  closing: XenbusState.Closing,
  shutting: XenbusState.Closing,
  closed: XenbusState.Closed,
  failing: XenbusState.Connected,
  releasing: XenbusState.Closed,
  released: XenbusState.Closed,
};

export const contextIn = (state: string, more: Partial<GuestContext> = {}): GuestContext => ({
  domid: 5,
  view: view(
    written[state] ?? 0,
    XenbusState.Initialising,
    state === 'waiting' ? { devices: undefined } : {},
  ),
  frontendSeen: true,
  domainSeen: true,
  frontendWasConnected: false,
  servedRing: undefined,
  exported: [sbdf],
  failure: null,
  workerLost: false,
  ringLost: false,
  frontendAtClosing: XenbusState.Initialising,
  stopping: false,
  ...more,
});

/** States that last as long as their effect: what happens meanwhile is noted, and decided on when it is over. */
export const working = [
  'announcing',
  'exporting',
  'adopting',
  'connecting',
  'reconfiguring',
  'resuming',
  'restarting',
  'disconnecting',
  'shutting',
  'failing',
  'releasing',
];
