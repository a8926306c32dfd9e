/**
 * Takes functions back from a guest, the way libxl does it (libxl_pci.c): the guest is asked to let go, the back-end takes
 * the function back and resets it, and only then the function is taken off the list and its claim given up.
 */
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import {
  backendPath,
  readBackendView,
  XenbusState,
  type DeviceEntry,
  type GuestView,
} from '../xenbus/index.ts';
import type { XenstoreAccess } from '../xenstore/index.ts';
import { removeEntries } from './device-entries.ts';
import {
  awaitOutcome,
  completed,
  isSettled,
  isStarting,
  type HandshakeOptions,
  type Outcome,
  type Xenstore,
} from './handshake.ts';

const { Unknown, Initialising, InitWait, Connected, Closing, Closed, Reconfiguring } = XenbusState;

/** How the guest is asked: by a handshake, by the back-end alone, or not at all. */
type Request = 'handshake' | 'back-end' | 'nobody';

/**
 * Detaches all the functions from the domain. A running guest is asked once for all of them, and can let that time out;
 * the request then stands, and another detach goes on from there.
 *
 * Throws NOT-ATTACHED when the domain lacks one of them, and then nothing has been changed.
 */
export async function detach(
  store: Xenstore,
  domid: number,
  sbdfs: readonly Sbdf[],
  options: HandshakeOptions = {},
): Promise<Outcome> {
  const request = await ask(store, domid, sbdfs, options);
  if (typeof request === 'object') return request;
  if (request !== 'nobody') {
    const outcome = await awaitOutcome(store, domid, (view) => releaseOutcome(view, sbdfs, request), options);
    if (outcome.outcome !== 'completed') return outcome;
    await store.transaction(async (tx) => {
      const { devices = [] } = await readBackendView((path) => tx.read(path), domid);
      const leaving = entriesOf(devices, sbdfs);
      if (leaving.length > 0) await removeEntries(tx, domid, devices, leaving);
    });
  }
  return completed;
}

const entriesOf = (devices: readonly DeviceEntry[], sbdfs: readonly Sbdf[]): readonly DeviceEntry[] =>
  devices.filter(({ sbdf }) => sbdf !== undefined && sbdfs.includes(sbdf));

/** Asks as soon as the guest can be asked. Whom nobody needs to be asked for is off the list when this returns. */
async function ask(
  store: Xenstore,
  domid: number,
  sbdfs: readonly Sbdf[],
  options: HandshakeOptions,
): Promise<Request | Outcome> {
  for (;;) {
    let seen: { readonly request: Request; readonly state: XenbusState } | undefined;
    const decide = (view: GuestView): Outcome | undefined => {
      const request = requestFor(view, sbdfs);
      seen = request && { request, state: view.state };
      return request && completed;
    };
    const ready = await awaitOutcome(store, domid, decide, options);
    if (!seen) return ready;
    const { request, state } = seen;
    if (await store.transaction((tx) => writeRequest(tx, domid, sbdfs, request, state))) return request;
  }
}

/** The guest's front-end has not come up, or has closed. */
const isUnused = ({ frontendState }: GuestView): boolean =>
  frontendState === Initialising || frontendState === InitWait || frontendState === Closed;

/** Who has to be asked; undefined while nobody can be. Throws NOT-ATTACHED. */
function requestFor(view: GuestView, sbdfs: readonly Sbdf[]): Request | undefined {
  const { devices = [], state, frontendState } = view;
  const leaving = entriesOf(devices, sbdfs);
  if (leaving.length < sbdfs.length) throw notAttached(devices, sbdfs);
  if (isSettled(view)) return 'handshake';
  // A back-end that finds its whole directory gone takes everything back, whatever it was doing.
  const isLast = leaving.length === devices.length;
  if (isLast && (isStarting(view) || isUnused(view))) return 'nobody';
  if (state === Initialising || (frontendState === Unknown && state >= Connected)) return 'nobody';
  return isStarting(view) ? 'back-end' : undefined;
}

/** False when the back-end is no longer in the state that the request was meant for; then nothing has been written. */
async function writeRequest(
  tx: XenstoreAccess,
  domid: number,
  sbdfs: readonly Sbdf[],
  request: Request,
  expected: XenbusState,
): Promise<boolean> {
  const { devices = [], state } = await readBackendView((path) => tx.read(path), domid);
  const leaving = entriesOf(devices, sbdfs);
  if (leaving.length < sbdfs.length) throw notAttached(devices, sbdfs);
  if (state !== expected) return false;
  if (request === 'nobody') {
    await removeEntries(tx, domid, devices, leaving);
    return true;
  }
  for (const { index } of leaving) await tx.write(`${backendPath(domid)}/state-${index}`, String(Closing));
  if (request === 'handshake') await tx.write(`${backendPath(domid)}/state`, String(Reconfiguring));
  return true;
}

/** What has become of the request; undefined while that is open. */
function releaseOutcome(view: GuestView, sbdfs: readonly Sbdf[], request: Request): Outcome | undefined {
  const { devices = [], state, frontendState } = view;
  const leaving = entriesOf(devices, sbdfs);
  if (leaving.length === 0 || frontendState === Unknown) return completed;
  if (request === 'back-end') return leaving.every((entry) => entry.state === Closed) ? completed : undefined;
  if (isSettled(view)) return completed;
  if (frontendState !== Closing && frontendState !== Closed) return undefined;
  if (leaving.length < devices.length) {
    return { outcome: 'refused', by: 'front-end', why: 'the guest closed its PCI device instead' };
  }
  return state === Closed ? completed : undefined;
}

function notAttached(devices: readonly DeviceEntry[], sbdfs: readonly Sbdf[]): PcibackError {
  const present = devices.flatMap(({ sbdf }) => (sbdf === undefined ? [] : [sbdf]));
  const missing = sbdfs.filter((sbdf) => !present.includes(sbdf)).map(formatSbdf);
  const attached = present.length === 0 ? 'none' : present.map(formatSbdf).join(', ');
  return new PcibackError(
    'NOT-ATTACHED',
    `the domain does not have ${missing.join(', ')}`,
    `the functions it has: ${attached}`,
  );
}
