/**
 * Gives functions to a guest, the way libxl does it (libxl_pci.c), by what is written to xenstore. The back-end and the
 * guest's front-end do the rest, so an attach is finished when they say so.
 */
import { concatMap, filter, firstValueFrom, fromEvent, NEVER, takeUntil, timeout, TimeoutError } from 'rxjs';
import { formatSbdf, type Sbdf } from '../address.ts';
import { isReason, PcibackError } from '../errors.ts';
import {
  absentView,
  backendPath,
  claimPath,
  errorPath,
  errorReasonPath,
  errorRemedyPath,
  lastDomid,
  parseDecimal,
  parseXenbusState,
  readBackendView,
  XenbusState,
  type GuestView,
} from '../xenbus/index.ts';
import type { XenstoreAccess } from '../xenstore/index.ts';
import {
  addEntry,
  makeDirectories,
  releaseClaim,
  removeEntries,
  type FunctionToAttach,
} from './device-entries.ts';
import {
  awaitOutcome,
  completed,
  isSettled,
  isStarting,
  readGuest,
  type HandshakeOptions,
  type Outcome,
  type Refusal,
  type Side,
  type Xenstore,
} from './handshake.ts';

const { Unknown, Initialising, InitWait, Initialised, Connected, Closing, Closed } = XenbusState;

export interface AttachedFunction {
  readonly sbdf: Sbdf;
  /** Its address on the guest's bus; undefined while the guest does not have it. */
  readonly vdev: Sbdf | undefined;
}

export type AttachResult = Outcome & { readonly functions: readonly AttachedFunction[] };

export interface AttachOptions extends HandshakeOptions {
  /**
   * On a host whose kernel may have a back-end of its own, or load it as soon as it hears of the device: it looks only at new
   * directories in Initialising (Linux drivers/xen/xenbus/xenbus_probe.c, xenbus_probe_node), so ours begins in InitWait.
   */
  readonly unseenByKernel?: boolean;
}

/** How the functions are announced: to a guest whose front-end is not up yet, or to a running one, by a handshake. */
type Announcement = 'starting' | 'running';

/**
 * Attaches all the functions to the domain, in one transaction with their claims. Into a running guest it is completed
 * when both ends are connected again, before that when the back-end has exported them. What could not be exported is
 * taken off the list again, and its claim given up.
 *
 * Throws FUNCTION-IN-USE when one of them is claimed already, and then nothing has been changed.
 */
export async function attach(
  store: Xenstore,
  domid: number,
  functions: readonly FunctionToAttach[],
  options: AttachOptions = {},
): Promise<AttachResult> {
  await awaitIntroduction(store, domid, options);
  const announced = await announce(store, domid, functions, options);
  if (typeof announced === 'object') return { ...announced, functions: [] };

  const sbdfs = functions.map(({ sbdf }) => sbdf);
  let outcome: Outcome | undefined;
  try {
    outcome = await awaitOutcome(store, domid, (view) => exportOutcome(view, sbdfs, announced), options);
  } finally {
    // Also when the wait is interrupted: what nobody has taken up must not be taken up after we are gone.
    if (outcome?.outcome !== 'completed') await withdraw(store, domid, sbdfs);
  }
  if (outcome.outcome === 'refused' && outcome.by === 'back-end')
    outcome = await explained(store, domid, outcome);
  const { devices = [] } = await readGuest(store, domid);
  const vdevOf = (sbdf: Sbdf): Sbdf | undefined => devices.find((device) => device.sbdf === sbdf)?.vdev;
  return { ...outcome, functions: sbdfs.map((sbdf) => ({ sbdf, vdev: vdevOf(sbdf) })) };
}

/**
 * xenstored refuses to make nodes for a domain that it has not been told of, which happens a moment after the domain
 * comes into being.
 */
async function awaitIntroduction(
  store: Xenstore,
  domid: number,
  { timeoutMs = 10_000, signal }: HandshakeOptions,
): Promise<void> {
  const introduced = store.watch('@introduceDomain').pipe(
    concatMap(() => store.isIntroduced(domid)),
    filter(Boolean),
    takeUntil(signal ? fromEvent(signal, 'abort') : NEVER),
    timeout(timeoutMs),
  );
  try {
    await firstValueFrom(introduced);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof TimeoutError)) throw error;
    const what = `xenstored has not been told of domain ${domid}`;
    throw new PcibackError(
      'NO-SUCH-DOMAIN',
      what,
      'see whether the domain exists, and whether xenstored follows',
    );
  }
}

/** Writes the entries as soon as the guest can take them. */
async function announce(
  store: Xenstore,
  domid: number,
  functions: readonly FunctionToAttach[],
  options: AttachOptions,
): Promise<Announcement | Outcome> {
  for (;;) {
    const ready = await awaitOutcome(
      store,
      domid,
      (view) => (canAttach(view) ? completed : undefined),
      options,
    );
    if (ready.outcome !== 'completed') return ready;
    const first = options.unseenByKernel ? InitWait : Initialising;
    const announced = await store.transaction((tx) => addEntries(store, tx, domid, functions, first));
    if (announced) return announced;
  }
}

const canAttach = (view: GuestView): boolean =>
  isListed(view) ? isStarting(view) || isSettled(view) || isLeftBehind(view, view.frontendState) : true;

const isListed = ({ devices = [] }: GuestView): boolean => devices.length > 0;

/** What remains of a guest that is gone, or has thrown its own directory away. */
const isLeftBehind = ({ state }: GuestView, frontendState: XenbusState): boolean =>
  state === Closed && frontendState === Unknown;

/** Undefined when the guest has begun something else in the meantime; then nothing has been written. */
async function addEntries(
  store: Xenstore,
  tx: XenstoreAccess,
  domid: number,
  functions: readonly FunctionToAttach[],
  first: XenbusState,
): Promise<Announcement | undefined> {
  let view = await readBackendView((path) => tx.read(path), domid);
  if (view.state === Closed) {
    const frontendState = parseXenbusState(await tx.read(`${view.frontendPath}/state`));
    if (!isLeftBehind(view, frontendState)) return undefined;
    await removeEntries(tx, domid, view.devices ?? [], view.devices ?? []);
    view = absentView(domid);
  }
  for (const { sbdf } of functions) await requireUnclaimed(store, tx, sbdf);
  const { devices = [], state } = view;
  if (isListed(view) && !isStarting(view) && state !== Connected) return undefined;
  // What is found there later is then about these functions.
  for (const path of [errorPath, errorReasonPath, errorRemedyPath]) await tx.rm(path(domid));
  if (!isListed(view)) await makeDirectories(tx, domid, first);
  for (const [count, each] of functions.entries()) await addEntry(tx, domid, devices.length + count, each);
  if (state !== Connected) return 'starting';
  await tx.write(`${backendPath(domid)}/state`, String(XenbusState.Reconfiguring));
  return 'running';
}

/** The claim of a domain that is gone keeps nobody out: the back-end waits until the function is back and clean. */
async function requireUnclaimed(store: Xenstore, tx: XenstoreAccess, sbdf: Sbdf): Promise<void> {
  const owner = await tx.read(claimPath(sbdf));
  if (owner === undefined) return;
  const claimant = parseDecimal(owner, lastDomid);
  if (claimant !== undefined && !(await store.isIntroduced(claimant))) return;
  const address = formatSbdf(sbdf);
  throw new PcibackError(
    'FUNCTION-IN-USE',
    `${address} belongs to domain ${owner}`,
    `take it back first: pciback detach ${owner} ${address}`,
  );
}

/** What has become of functions that were announced; undefined while that is open. */
function exportOutcome(
  view: GuestView,
  sbdfs: readonly Sbdf[],
  announced: Announcement,
): Outcome | undefined {
  const { state, frontendState, devices = [] } = view;
  const entries = devices.filter(({ sbdf }) => sbdf !== undefined && sbdfs.includes(sbdf));
  const refused = (by: Side, why: string): Outcome => ({ outcome: 'refused', by, why });
  if (entries.length < sbdfs.length) return refused('back-end', 'its directory was removed meanwhile');
  if (announced === 'running' && (frontendState === Closing || frontendState === Closed)) {
    return refused('front-end', 'the guest closed its PCI device instead');
  }
  if (state === Closing || state === Closed) return refused('back-end', 'it has given the guest up');
  if (entries.some((entry) => entry.state === Initialising)) return undefined;
  if (!(announced === 'running' ? isSettled(view) : state >= Initialised)) return undefined;
  const rejected = entries.filter((entry) => entry.state !== Initialised);
  if (rejected.length === 0) return completed;
  const names = rejected.map(({ sbdf }) => (sbdf === undefined ? '' : formatSbdf(sbdf))).join(', ');
  return refused('back-end', `it could not export ${names}`);
}

/** Adds what the back-end has left as its fatal error, if it has. Another back-end leaves neither reason nor remedy. */
async function explained(store: Xenstore, domid: number, outcome: Refusal): Promise<Refusal> {
  const [error, reason, remedy] = await Promise.all(
    [errorPath, errorReasonPath, errorRemedyPath].map((path) => store.read(path(domid))),
  );
  if (error === undefined) return outcome;
  const told = { ...outcome, why: `${outcome.why}: ${error.replace(/^\d+ /, '')}` };
  return isReason(reason) && remedy ? { ...told, reason, remedy } : told;
}

/** Takes those of the functions off the list that the guest has not been given, or that it is no longer served. */
async function withdraw(store: Xenstore, domid: number, sbdfs: readonly Sbdf[]): Promise<void> {
  await store.transaction(async (tx) => {
    const { devices = [], state } = await readBackendView((path) => tx.read(path), domid);
    const given = state === Closing || state === Closed ? undefined : Initialised;
    const leaving = devices.filter(
      (device) => device.sbdf !== undefined && sbdfs.includes(device.sbdf) && device.state !== given,
    );
    if (leaving.length > 0) await removeEntries(tx, domid, devices, leaving);
    const listed = new Set(devices.map(({ sbdf }) => sbdf));
    for (const sbdf of sbdfs) if (!listed.has(sbdf)) await releaseClaim(tx, domid, sbdf);
  });
}
