/** How far a guest's two directories have got, and whose turn it is: what `attach` and `detach` wait for. */
import { PcibackError, type Reason } from '../errors.ts';
import {
  backendPath,
  frontendPath,
  parseXenbusState,
  readBackendView,
  XenbusState,
  type GuestView,
} from '../xenbus/index.ts';
import { again, type XenstoreClient } from '../xenstore/index.ts';

/** What attaching and detaching need of a xenstore client. */
export type Xenstore = Pick<XenstoreClient, 'read' | 'transaction' | 'wait' | 'watch' | 'isIntroduced'>;

export interface HandshakeOptions {
  /** How long one step of the other side may take, in milliseconds. Default 10000, which is libxl's patience. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export type Side = 'front-end' | 'back-end';

export interface Refusal {
  readonly outcome: 'refused';
  readonly by: Side;
  readonly why: string;
  /** What the back-end says of it, if it does. */
  readonly reason?: Reason;
  readonly remedy?: string;
}

export type Outcome =
  | { readonly outcome: 'completed' }
  /** One side has decided otherwise: the guest closed its device, or the back-end could not export the function. */
  | Refusal
  | { readonly outcome: 'timed out'; readonly waitingFor: Side; readonly why: string };

export const completed: Outcome = { outcome: 'completed' };

const {
  Unknown,
  Initialising,
  InitWait,
  Initialised,
  Connected,
  Closing,
  Closed,
  Reconfiguring,
  Reconfigured,
} = XenbusState;

/** Both ends are connected and no change is under way: the only time a running guest can be asked for one. */
export const isSettled = ({ state, frontendState }: GuestView): boolean =>
  state === Connected && frontendState === Connected;

/** The back-end has not been connected to a front-end yet: functions come and go without a handshake. */
export const isStarting = ({ state }: GuestView): boolean => state <= Initialised;

interface Turn {
  readonly side: Side;
  /** What has not happened yet. */
  readonly why: string;
}

const backend = (why: string): Turn => ({ side: 'back-end', why });
const frontend = (why: string): Turn => ({ side: 'front-end', why });
const notServed = backend('no back-end has picked the device up; is pciback serve running?');
const notExported = backend('the back-end has not exported the function');

/** Whose turn it is in each state of the back-end. */
const turns: Readonly<Record<XenbusState, Turn>> = {
  [Unknown]: notServed,
  [Initialising]: notServed,
  [InitWait]: notExported,
  [Initialised]: frontend('the front-end has not connected; does the guest run a PCI front-end driver?'),
  [Connected]: frontend('the front-end is still scanning its bus'),
  [Closing]: frontend('the front-end has not finished closing'),
  [Closed]: frontend('the guest has closed its PCI device and not opened it again'),
  [Reconfiguring]: frontend('the front-end does not follow the change'),
  [Reconfigured]: frontend('the front-end has not scanned its bus anew'),
};

/** Who has to move next. */
export function whoseTurn({ state, frontendState, devices = [] }: GuestView): Turn {
  const open = devices.some((device) => device.state === Initialising || device.state === Closing);
  if (state === Initialised && open) return backend('the back-end has not carried the change out');
  if (state === Reconfiguring && frontendState === Reconfiguring) {
    return backend('the back-end has not carried the change out');
  }
  return turns[state];
}

/** Reads both directories. Not in a transaction: the guest could make that fail again and again. */
export async function readGuest(store: Pick<Xenstore, 'read'>, domid: number): Promise<GuestView> {
  const view = await readBackendView((path) => store.read(path), domid);
  return { ...view, frontendState: parseXenbusState(await store.read(`${view.frontendPath}/state`)) };
}

/**
 * Waits until `decide` finds an outcome in what the two directories say.
 * @returns that outcome; when it takes too long, who is waited for
 */
export async function awaitOutcome(
  store: Xenstore,
  domid: number,
  decide: (view: GuestView) => Outcome | undefined,
  { timeoutMs = 10_000, signal }: HandshakeOptions,
): Promise<Outcome> {
  try {
    return await store.wait(
      async (reader) => {
        // One watch for each directory; reading every key through the reader would set one for each key.
        await Promise.all([reader.read(backendPath(domid)), reader.read(frontendPath(domid))]);
        return decide(await readGuest(store, domid)) ?? again;
      },
      { timeoutMs, what: `domain ${domid}`, ...(signal && { signal }) },
    );
  } catch (error) {
    if (!(error instanceof PcibackError) || error.reason !== 'TIMED-OUT') throw error;
    const { side, why } = whoseTurn(await readGuest(store, domid));
    return { outcome: 'timed out', waitingFor: side, why };
  }
}
