/** The guests of this host: who is served by a session, and who is left to the kernel's own back-end. */
import { filter, take, takeUntil } from 'rxjs';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { type GuestView, XenbusState, backendRoot, lastDomid, parseDecimal } from '../xenbus/index.ts';
import { ConnectionLost, reconcile } from '../xenstore/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { GuestFunctions } from './guest-functions.ts';
import { GuestSession } from './guest-session.ts';
import { readGuestView } from './guest-view.ts';
import type { SessionHost } from './session-host.ts';

export class Guests {
  readonly #host: SessionHost;
  readonly #isReady: () => boolean;
  readonly #sessions = new Map<number, GuestSession>();
  readonly #leftToKernel = new Set<number>();
  readonly #beingTaken = new Set<number>();

  /** `isReady`: guests that come are to be served. */
  constructor(host: SessionHost, isReady: () => boolean) {
    this.#host = host;
    this.#isReady = isReady;
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

  /** Looks after the guests that a watch named, or after all that there are. */
  async follow(named: readonly number[] | undefined): Promise<void> {
    const { xenstore } = this.#host;
    if (named) {
      for (const domid of named) await this.attend(domid);
      return;
    }
    const domids = await guestsOf(xenstore);
    for (const domid of this.#leftToKernel) if (!domids.includes(domid)) this.#leftToKernel.delete(domid);
    for (const domid of new Set([...domids, ...this.#sessions.keys()])) await this.attend(domid);
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
    if (platform.kernelServes(domid) && !(await this.#takeOver(domid))) return;
    const known = this.#sessions.get(domid);
    if (known) {
      known.ring();
      return;
    }
    const view = await readGuestView(xenstore, platform, domid);
    if (this.#sessions.has(domid)) return; // somebody else was told of it meanwhile, and has looked since
    // A directory that was closed and whose functions were given back stays until its toolstack removes it.
    const over = !view.present || view.state === XenbusState.Closed;
    if (over && registry.ownedBy(domid).length === 0) return;
    this.#begin(domid, view);
  }

  #begin(domid: number, view: GuestView): GuestSession {
    const session = new GuestSession(this.#host, domid, view);
    this.#sessions.set(domid, session);
    void session.released.then(() => {
      if (this.#sessions.get(domid) !== session) return;
      this.#sessions.delete(domid);
      // One that a daemon lets go of as it is keeps what it has.
      if (!this.#isReady()) return;
      this.#host.platform.releaseDomain(domid);
      // The directory may have been made anew while the old one was being cleared.
      this.#attendAgain(domid);
    });
    return session;
  }

  /**
   * Takes a guest from the host's own back-end, unless its front-end has come up: the kernel goes on with that one. False when it
   * stays the kernel's.
   */
  async #takeOver(domid: number): Promise<boolean> {
    if (this.#beingTaken.has(domid)) return false;
    this.#beingTaken.add(domid);
    try {
      return await this.#takeFromKernel(domid);
    } finally {
      this.#beingTaken.delete(domid);
    }
  }

  async #takeFromKernel(domid: number): Promise<boolean> {
    const { xenstore, platform } = this.#host;
    const before = await readGuestView(xenstore, platform, domid);
    if (before.frontendState > XenbusState.Initialising || before.ended) {
      this.#tellLeft(domid);
      return false;
    }
    // A session that had begun goes on from what the kernel leaves, as it would after a daemon that was killed.
    const session = this.#sessions.get(domid);
    this.#sessions.delete(domid);
    await session?.handOver();
    await platform.takeFromKernel(domid);
    this.#leftToKernel.delete(domid);
    const view = await readGuestView(xenstore, platform, domid);
    this.#host.emit(makeEvent('guest.takenOver', { domid, from: 'kernel' }));
    if (view.present) this.#watchFrontend(this.#begin(domid, view), view);
    return true;
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

  /** Once for each guest: its directory changes many times while the kernel serves it. */
  #tellLeft(domid: number): void {
    if (this.#leftToKernel.has(domid)) return;
    this.#leftToKernel.add(domid);
    this.#host.emit(
      makeEvent('guest.left', {
        domid,
        to: 'kernel',
        reason: 'KERNEL-BACKEND',
        message: `the kernel's xen-pciback serves domain ${domid} already, and goes on with it`,
        remedy: 'start the daemon before the guest, or keep xen-pciback from being loaded',
      }),
    );
  }

  #attendAgain(domid: number): void {
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
