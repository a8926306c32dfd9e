/**
 * Guests that the kernel's own back-end serves. They are looked at, and never written to. Functions of ours that a toolstack has given them
 * are theirs until they let go of them, and are reset then.
 */
import type { Subscription } from 'rxjs';
import type { Sbdf } from '../address.ts';
import { failureDetails, makeEvent } from '../monitor/index.ts';
import { type GuestView, XenbusState, claimPath, lastDomid, parseDecimal } from '../xenbus/index.ts';
import { again, ConnectionLost, reconcile } from '../xenstore/index.ts';
import { Fence } from './fence.ts';
import { readGuestView } from './guest-view.ts';
import { resetUnowned } from './reset-unowned.ts';
import type { SessionHost } from './session-host.ts';
import { sweep } from './sweep.ts';

/** Milliseconds between two looks whether the kernel has let go of a guest: nothing in sysfs rings. */
const lookInterval = 250;
/** The longest that a timer can wait. */
const forAsLongAsItTakes = 0x7fff_ffff;

type KernelHost = Pick<SessionHost, 'xenstore' | 'platform' | 'registry' | 'emit'>;

interface KernelGuest {
  view: GuestView;
  readonly watching: Subscription;
  /** Functions of ours that it has without our having given them. */
  readonly held: Set<Sbdf>;
  isTold: boolean;
}

export class KernelGuests {
  readonly #host: KernelHost;
  readonly #onLetGo: (domid: number) => void;
  readonly #guests = new Map<number, KernelGuest>();
  #looking: NodeJS.Timeout | undefined;
  /** Ends what is waited for: by function, when it is given out again, and all when the daemon ends. */
  readonly #returns = new Map<Sbdf, AbortController>();
  readonly #resetting = new Set<Promise<void>>();

  /** `onLetGo` is told of a guest that the kernel's driver is not bound to any more, perhaps more than once. */
  constructor(host: KernelHost, onLetGo: (domid: number) => void) {
    this.#host = host;
    this.#onLetGo = onLetGo;
  }

  has(domid: number): boolean {
    return this.#guests.has(domid);
  }

  /** As they were when they were last looked at. */
  views(): ReadonlyMap<number, GuestView> {
    return new Map([...this.#guests].map(([domid, { view }]) => [domid, view]));
  }

  /** Looks no more. Resolves when no function is being reset any more. */
  async close(): Promise<void> {
    clearInterval(this.#looking);
    for (const { watching } of this.#guests.values()) watching.unsubscribe();
    for (const waiting of this.#returns.values()) waiting.abort();
    await Promise.all(this.#resetting);
  }

  /** Takes note of what a guest of the kernel's looks like; says once for each that it is left to the kernel. */
  note(domid: number, view: GuestView): void {
    const guest = this.#guests.get(domid) ?? {
      view,
      watching: this.#watch(domid, view),
      held: new Set<Sbdf>(),
      isTold: false,
    };
    guest.view = view;
    this.#guests.set(domid, guest);
    this.#looking ??= setInterval(() => this.#look(), lookInterval).unref();
    this.#follow(domid, guest);
    if (guest.isTold || !view.present) return;
    guest.isTold = true;
    this.#host.emit(left(domid));
  }

  /**
   * Whether the kernel is done with a guest that its driver was bound to. The driver's link in sysfs goes first; what it has exported is
   * reset after that, and last it writes Closed, if the directory is still there.
   */
  isDoneWith(domid: number, view: GuestView): boolean {
    const isOver = view.state === XenbusState.Closed || view.state === XenbusState.Initialising;
    return isOver || !this.#host.platform.kernelKnows(domid);
  }

  /** The kernel has let go of a guest: what that one had of ours is reset. Resolves when that has begun. */
  async end(domid: number): Promise<void> {
    const { platform, registry } = this.#host;
    const guest = this.#guests.get(domid);
    if (!guest) return;
    this.#guests.delete(domid);
    if (this.#guests.size === 0) {
      clearInterval(this.#looking);
      this.#looking = undefined;
    }
    guest.watching.unsubscribe();
    const functions = [...guest.held];
    const isAlive = platform.domainState(domid) === 'running';
    // Otherwise the session that gives back what the guest has from us does that.
    const isOurs = registry.ownedBy(domid).length > 0;
    if (functions.length > 0 && !isAlive && !isOurs) {
      await sweep(this.#host, domid, functions, new Fence(platform, domid));
    }
    for (const sbdf of functions) this.#takeBack(domid, sbdf);
  }

  #look(): void {
    for (const domid of this.#guests.keys()) {
      if (!this.#host.platform.kernelServes(domid)) this.#onLetGo(domid);
    }
  }

  /** The back-end directory is followed for all guests; the kernel does not always write there after a front-end has moved. */
  #watch(domid: number, { frontendPath }: GuestView): Subscription {
    const { xenstore, platform, emit } = this.#host;
    const warn = (error: unknown): void => emit(makeEvent('warning', { domid, ...failureDetails(error) }));
    return reconcile(
      xenstore.watch(`${frontendPath}/state`),
      () => readGuestView(xenstore, platform, domid),
      warn,
    ).subscribe({
      next: (view) => {
        const guest = this.#guests.get(domid);
        if (guest && view.present) guest.view = view;
      },
      error: warn,
    });
  }

  /** Whatever is listed for the guest and is ours is held by it; what is not listed any more has been given back to the toolstack. */
  #follow(domid: number, { view, held }: KernelGuest): void {
    const { registry } = this.#host;
    const listed = new Set(view.devices?.flatMap(({ sbdf }) => (sbdf === undefined ? [] : [sbdf])));
    for (const sbdf of listed) {
      if (!registry.lend(sbdf, domid)) continue;
      this.#returns.get(sbdf)?.abort();
      held.add(sbdf);
    }
    if (!view.present) return;
    for (const sbdf of held) {
      if (listed.has(sbdf)) continue;
      held.delete(sbdf);
      this.#takeBack(domid, sbdf);
    }
  }

  #takeBack(domid: number, sbdf: Sbdf): void {
    const waiting = new AbortController();
    this.#returns.set(sbdf, waiting);
    const resetting = this.#reset(domid, sbdf, waiting.signal)
      .catch((error: unknown) => {
        if (waiting.signal.aborted || error instanceof ConnectionLost) return;
        this.#host.emit(makeEvent('warning', { sbdf, domid, ...failureDetails(error) }));
      })
      .finally(() => {
        if (this.#returns.get(sbdf) === waiting) this.#returns.delete(sbdf);
        this.#resetting.delete(resetting);
        // It may have been given out again meanwhile.
        for (const [id, guest] of this.#guests) this.#follow(id, guest);
      });
    this.#resetting.add(resetting);
  }

  /**
   * Resets a function once no toolstack has anything to do with it. libxl claims a function before it resets and assigns it itself
   * (libxl_pci.c, libxl__device_pci_add), and takes its claim back last.
   */
  async #reset(domid: number, sbdf: Sbdf, signal: AbortSignal): Promise<void> {
    const { xenstore, platform, registry, emit } = this.#host;
    const isClaimed = await xenstore.wait(
      async (reader) => {
        const claimant = parseDecimal(await reader.read(claimPath(sbdf)), lastDomid);
        if (claimant === undefined || platform.domainState(claimant) === 'absent') return false;
        return claimant === domid ? again : true;
      },
      { timeoutMs: forAsLongAsItTakes, what: 'the toolstack to let go of a function', signal },
    );
    // A session that has been given it meanwhile gives it back, too.
    if (!registry.isLent(sbdf, domid)) return;
    registry.disclaim(sbdf, domid);
    // One that the toolstack has handed on it has reset for the next guest.
    if (!isClaimed) await resetUnowned(platform, registry, sbdf, emit);
  }
}

const left = (domid: number) =>
  makeEvent('guest.left', {
    domid,
    to: 'kernel',
    reason: 'KERNEL-BACKEND',
    message: `the kernel's xen-pciback serves domain ${domid} already, and goes on with it`,
    remedy: 'start the daemon before the guest, or keep xen-pciback from being loaded',
  });
