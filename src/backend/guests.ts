/** The guests of this host: who is served by a session, and who is left to the kernel's own back-end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { filter, take, takeUntil } from 'rxjs';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { type GuestView, XenbusState, backendRoot, lastDomid, parseDecimal } from '../xenbus/index.ts';
import { ConnectionLost, reconcile } from '../xenstore/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { GuestFunctions } from './guest-functions.ts';
import { GuestSession } from './guest-session.ts';
import { readGuestView } from './guest-view.ts';
import { KernelGuests } from './kernel-guests.ts';
import type { SessionHost } from './session-host.ts';
import { takeFromKernel } from './takeover.ts';

/** Milliseconds that other guests wait at most while one is looked after. */
const longestLook = 5000;

export class Guests {
  readonly #host: SessionHost;
  readonly #isReady: () => boolean;
  readonly #sessions = new Map<number, GuestSession>();
  readonly #kernels: KernelGuests;
  readonly #beingTaken = new Set<number>();
  readonly #rungMeanwhile = new Set<number>();
  /** Directories to which the kernel's driver is going to bind, and those to which it has not although it had the time. */
  readonly #awaited = new Set<number>();
  readonly #passedOver = new Set<number>();
  #isClosed = false;
  /** Takeovers that are under way: their guests may stand still. */
  readonly #meetings = new Set<Promise<void>>();

  /** `isReady`: guests that come are to be served. */
  constructor(host: SessionHost, isReady: () => boolean) {
    this.#host = host;
    this.#isReady = isReady;
    this.#kernels = new KernelGuests(host, (domid) => this.#attendAgain(domid));
  }

  sessions(): readonly GuestSession[] {
    return [...this.#sessions.values()];
  }

  sessionOf(domid: number): GuestSession | undefined {
    return this.#sessions.get(domid);
  }

  /** The functions of a guest; of one that has none yet, an empty bus. */
  functionsOf(domid: number): Pick<GuestFunctions, 'requirePlaces'> {
    return this.#sessions.get(domid) ?? new GuestFunctions(this.#host, domid, noWorker);
  }

  /** What those look like that the kernel's own back-end serves. */
  kernelGuests(): ReadonlyMap<number, GuestView> {
    return this.#kernels.views();
  }

  /** Nobody is looked after any more; sessions stay. Resolves when nothing else is under way. May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([...this.#meetings, this.#kernels.close()]);
  }

  /** Looks after the guests that a watch named, or after all that there are. */
  async follow(named: readonly number[] | undefined): Promise<void> {
    const all = async (): Promise<readonly number[]> => [
      ...(await guestsOf(this.#host.xenstore)),
      ...this.#sessions.keys(),
      ...this.#kernels.views().keys(),
    ];
    const domids = new Set(named ?? (await all()));
    await Promise.all([...domids].map((domid) => this.#attendAwhile(domid)));
  }

  /** Guests that come meanwhile wait no longer than that, whatever a function or the kernel's driver takes its time for. */
  async #attendAwhile(domid: number): Promise<void> {
    const attended = this.attend(domid);
    attended.catch(() => undefined);
    const patience = new AbortController();
    const isOver = sleep(longestLook, undefined, { ref: false, signal: patience.signal }).catch(
      () => undefined,
    );
    await Promise.race([attended, isOver]);
    patience.abort();
  }

  /** What keeps this guest from being looked after is told, and keeps no other from it. Rejects when xenstored is gone. */
  async attend(domid: number): Promise<void> {
    try {
      await this.#lookAfter(domid);
    } catch (error) {
      if (error instanceof ConnectionLost) throw error;
      this.#host.emit(makeEvent('warning', { domid, ...failureDetails(error) }));
    }
  }

  async #lookAfter(domid: number): Promise<void> {
    const { xenstore, registry, platform } = this.#host;
    if (this.#isClosed) return;
    if (this.#beingTaken.has(domid)) {
      this.#rungMeanwhile.add(domid);
      return;
    }
    if (platform.kernelServes(domid)) {
      const meeting = this.#meetKernel(domid).finally(() => this.#meetings.delete(meeting));
      this.#meetings.add(meeting);
      return meeting;
    }
    const known = this.#sessions.get(domid);
    if (known) {
      known.ring();
      return;
    }
    const view = await readGuestView(xenstore, platform, domid);
    // Somebody else was told of it meanwhile, and has looked since.
    if (this.#sessions.has(domid) || this.#beingTaken.has(domid)) return;
    if (platform.kernelServes(domid)) return this.#lookAfter(domid);
    if (this.#kernels.has(domid)) {
      if (!this.#kernels.isDoneWith(domid, view)) return;
      await this.#kernels.end(domid);
      return this.#lookAfter(domid);
    }
    if (view.present && view.state <= XenbusState.Initialising && this.#isKernelsTurn(domid, view)) return;
    this.#passedOver.delete(domid);
    // A directory that was closed and whose functions were given back stays until its toolstack removes it.
    const over = !view.present || view.state === XenbusState.Closed;
    if (over && registry.ownedBy(domid).length === 0) return;
    this.#begin(domid, view);
  }

  /**
   * Where the kernel's driver is loaded it binds to every directory that is new, and the kernel may be about to: a session that began before
   * that would be one of two back-ends. So the driver goes first, and is taken from if the guest can be.
   */
  #isKernelsTurn(domid: number, { state }: GuestView): boolean {
    const { platform } = this.#host;
    if (!platform.kernelBinds() || this.#passedOver.has(domid)) return false;
    // It binds when the directory is whole, of which the watch tells.
    if (state === XenbusState.Unknown || this.#awaited.has(domid)) return true;
    this.#awaited.add(domid);
    void platform.awaitKernel(domid).then(() => {
      this.#awaited.delete(domid);
      if (!platform.kernelServes(domid)) this.#passedOver.add(domid);
      this.#attendAgain(domid);
    });
    return true;
  }

  #begin(domid: number, view: GuestView): GuestSession {
    const session = new GuestSession(this.#host, domid, view);
    this.#sessions.set(domid, session);
    void session.released.then(() => {
      if (this.#sessions.get(domid) !== session) return;
      this.#sessions.delete(domid);
      if (session.isLeft) return this.#attendAgain(domid);
      // One that a daemon lets go of as it is keeps what it has.
      if (!this.#isReady()) return;
      this.#host.platform.releaseDomain(domid);
      // The directory may have been made anew while the old one was being cleared.
      this.#attendAgain(domid);
    });
    return session;
  }

  /** The kernel's driver is bound to the directory: the guest is taken from it, or is left to it. */
  async #meetKernel(domid: number): Promise<void> {
    this.#beingTaken.add(domid);
    let isTaken = false;
    try {
      isTaken = !this.#kernels.has(domid) && (await this.#take(domid));
    } finally {
      if (!isTaken) await this.#leave(domid);
      this.#beingTaken.delete(domid);
      if (!isTaken && this.#rungMeanwhile.delete(domid)) this.#attendAgain(domid);
    }
    if (!isTaken) return;
    await this.#lookAfter(domid);
    const session = this.#sessions.get(domid);
    if (session) this.#watchFrontend(session, session.view);
  }

  async #take(domid: number): Promise<boolean> {
    const session = this.#sessions.get(domid);
    this.#sessions.delete(domid);
    await session?.handOver();
    // Nobody is to go on with it after a death of this process.
    this.#host.rings.delete(String(domid));
    const isTaken = await takeFromKernel(this.#host, domid);
    if (isTaken) this.#host.emit(makeEvent('guest.takenOver', { domid, from: 'kernel' }));
    return isTaken;
  }

  /** Takes note of a guest that stays the kernel's, unless that has let go of it meanwhile. */
  async #leave(domid: number): Promise<void> {
    const { xenstore, platform } = this.#host;
    const view = await readGuestView(xenstore, platform, domid);
    if (platform.kernelServes(domid)) this.#kernels.note(domid, view);
    else this.#rungMeanwhile.add(domid);
  }

  /**
   * A front-end that comes up while the directory still says the kernel's Closed shuts down for good (Linux
   * drivers/pci/xen-pcifront.c, pcifront_backend_changed), and says nothing of it.
   */
  #watchFrontend(session: GuestSession, { frontendPath }: GuestView): void {
    const { domid } = session;
    const { xenstore, platform, emit } = this.#host;
    reconcile(xenstore.watch(`${frontendPath}/state`), () => readGuestView(xenstore, platform, domid))
      .pipe(
        filter(({ frontendState }) => frontendState >= XenbusState.Connected),
        take(1),
        takeUntil(session.released),
      )
      .subscribe({
        next: (view) => {
          if (hasClosed(view) && view.online && !view.ended) emit(closedByKernel(domid));
        },
        error: (error: unknown) => emit(makeEvent('warning', { domid, ...failureDetails(error) })),
      });
  }

  #attendAgain(domid: number): void {
    if (this.#isClosed) return;
    this.attend(domid).catch((error: unknown) => {
      this.#host.emit(makeEvent('warning', { domid, ...failureDetails(error) }));
    });
  }
}

function noWorker(): never {
  throw new Error('an empty bus has no worker');
}

const hasClosed = ({ frontendState }: GuestView): boolean =>
  frontendState === XenbusState.Closing || frontendState === XenbusState.Closed;

const closedByKernel = (domid: number): BackendEvent =>
  makeEvent('warning', {
    domid,
    reason: 'KERNEL-BACKEND',
    message: `the front-end of domain ${domid} came up while its PCI device was taken from the kernel's xen-pciback, and closed with that one`,
    remedy: `have it begin anew: in the guest modprobe -r xen-pcifront and modprobe xen-pcifront, or xl reboot ${domid}`,
  });

/** The domains that have a back-end directory. */
async function guestsOf(xenstore: XenstoreClient): Promise<readonly number[]> {
  const listed = (await xenstore.directory(backendRoot)) ?? [];
  return listed.map((name) => parseDecimal(name, lastDomid)).filter((domid) => domid !== undefined);
}
