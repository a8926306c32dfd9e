/**
 * One guest, from the moment its directory appears until its functions are hidden again: the machine of `machines/guest.ts`,
 * fed with what xenstore says and with effects that do what it decides.
 */
import type { Piscina } from 'piscina';
import { Subject, type Subscription, firstValueFrom, filter, merge } from 'rxjs';
import { type Actor, createActor, fromPromise, waitFor } from 'xstate';
import { type Adopted, type GuestContext, type Settled, guestMachine } from '../../machines/guest.ts';
import type { GuestTask } from '../../workers/messages.ts';
import { type Sbdf, formatSbdf } from '../address.ts';
import type { FilterMode } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import type { Platform, PlatformOptions } from '../host/platform.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import type { BridgeMap, TopologyKind } from '../topology/index.ts';
import {
  type DeviceEntry,
  type GuestView,
  XenbusState,
  backendPath,
  claimPath,
  domainPath,
  readBackendView,
  frontendKeyNames,
  parseFrontendKeys,
  quote,
  xenbusStateName,
} from '../xenbus/index.ts';
import { ConnectionLost, type XenstoreClient, reconcile } from '../xenstore/index.ts';
import { errnoOf } from './errno.ts';
import { positionAt, readGuestView } from './guest-view.ts';
import { GuestFunctions } from './guest-functions.ts';
import { GuestWorker, type Report } from './guest-worker.ts';
import type { HostFunctions } from './host-functions.ts';
import type { Registry } from './registry.ts';
import type { FileStore } from './store.ts';
import { eventsOf } from './worker-events.ts';
import { XenbusWriter } from './xenbus-writer.ts';

/** What a session shares with the daemon it belongs to. */
export interface SessionHost {
  readonly xenstore: XenstoreClient;
  readonly registry: Registry;
  readonly pool: Piscina<GuestTask, void>;
  readonly platform: Platform;
  /** How workers open the platform. */
  readonly where: PlatformOptions;
  /** Takes functions that a toolstack has listed from where it keeps them, and knows which ones can be kept apart. */
  readonly host: Pick<HostFunctions, 'hideListed' | 'requireIsolated'>;
  readonly topology: TopologyKind;
  readonly bridges: () => BridgeMap;
  /** Local ends of event channels, by domain: what a successor has to discard when this process is killed. */
  readonly ports: FileStore<number>;
  readonly emit: (event: BackendEvent) => void;
}

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

/** Workers that die so often, each within a second, are killed by the guest that they serve, and the guest is failed. */
const mostShortLives = 20;
const shortLife = 1000;

export class GuestSession {
  readonly domid: number;
  /** Resolves when every function of the guest is hidden or quarantined and the worker is gone. */
  readonly released: Promise<void>;
  readonly #host: SessionHost;
  readonly #actor: Actor<typeof guestMachine>;
  readonly #writer: XenbusWriter;
  readonly #functions: GuestFunctions;
  readonly #doorbell = new Subject<void>();
  readonly #subscription: Subscription;
  /** Emits when the daemon ends. */
  readonly #stops = new Subject<'stopping'>();
  /** What the session begins with need not be read again for that. */
  #firstView: GuestView | undefined;
  #worker: GuestWorker | undefined;
  #shortLives = 0;
  #isHandedOver = false;

  constructor(host: SessionHost, domid: number, first: GuestView) {
    this.#host = host;
    this.domid = domid;
    this.#firstView = first;
    this.#writer = new XenbusWriter(host.xenstore, domid);
    this.#functions = new GuestFunctions(host, domid, () => this.#theWorker());
    this.#actor = createActor(this.#machine(), { input: { domid, view: first } });
    this.released = this.#run();
    this.#subscription = reconcile(
      merge(this.#doorbell, host.xenstore.watch(`${first.frontendPath}/state`)),
      () => this.#observe(),
      (error) => host.emit(makeEvent('warning', { domid, ...failureDetails(error) })),
    ).subscribe({
      error: (error: unknown) => host.emit(makeEvent('warning', { domid, ...failureDetails(error) })),
    });
  }

  /** Something in the back-end directory may have changed. */
  ring(): void {
    this.#doorbell.next();
  }

  /** Asks the guest to close, waits for it within limits, and gives its functions back. */
  async stop(): Promise<void> {
    this.#actor.send({ type: 'stop' });
    this.#stops.next('stopping');
    await this.released;
  }

  /** Lets go of the guest as it is; a successor takes it over. */
  abandon(): void {
    this.#subscription.unsubscribe();
    this.#actor.stop();
    this.#worker = undefined;
  }

  /** Lets go of the guest for another session of this daemon, which finds it as one after a crash would. */
  async handOver(): Promise<void> {
    this.#isHandedOver = true;
    this.#subscription.unsubscribe();
    this.#actor.stop();
    await this.released;
  }

  /** Trusts the guest further with a function that it has, from its next request on. */
  async trust(sbdf: Sbdf, mode: FilterMode): Promise<void> {
    await this.#functions.trust(sbdf, mode);
  }

  /** Ends the guest's worker thread; see `PciBackend.killWorker`. */
  async killWorker(): Promise<void> {
    await this.#worker?.kill();
  }

  /** Resolves when the session is not (or no longer) taking over from a predecessor. */
  async settled(): Promise<void> {
    await waitFor(this.#actor, (snapshot) => !snapshot.matches('adopting'), { timeout: Infinity });
  }

  get #isStopping(): boolean {
    return this.#actor.getSnapshot().context.stopping;
  }

  get state(): string {
    return this.#actor.getSnapshot().value;
  }

  /** Whom the guest waits for, when that is another guest: the function, and who still has it. */
  get waitingFor(): { readonly sbdf: Sbdf; readonly owner: number } | null {
    return this.#functions.waitingFor;
  }

  get view(): GuestView {
    return this.#actor.getSnapshot().context.view;
  }

  get exported(): readonly { readonly sbdf: Sbdf; readonly guestAddress: Sbdf | undefined }[] {
    return this.#actor
      .getSnapshot()
      .context.exported.map((sbdf) => ({ sbdf, guestAddress: this.#functions.guestAddressOf(sbdf) }));
  }

  #machine(): typeof guestMachine {
    const settling = (run: (context: GuestContext) => Promise<void>) =>
      fromPromise<Settled, GuestContext>(({ input }) =>
        this.#persistently(async () => {
          await run(input);
          return this.#settled();
        }),
      );
    return guestMachine.provide({
      actors: {
        announce: settling(() => this.#announce()),
        exportFunctions: settling(({ view }) => this.#exportListed(view)),
        adopt: fromPromise<Adopted, GuestContext>(() => this.#persistently(() => this.#adopt())),
        connect: settling(({ view }) => this.#connect(view)),
        reconfigure: settling(() => this.#reconfigure()),
        resume: settling(() => this.#writer.advance([Reconfigured], Connected)),
        restart: settling(() => this.#restart()),
        disconnect: settling(({ view }) => this.#disconnect(view)),
        close: settling(() => this.#writer.advance([InitWait, Initialised, Connected, Closing], Closed)),
        release: settling(() => this.#release()),
        fail: settling(({ failure }) => this.#fail(failure)),
      },
    });
  }

  async #run(): Promise<void> {
    let state = 'absent';
    const over = new Promise<void>((resolve) => {
      this.#actor.subscribe({
        next: (snapshot) => {
          const from = state;
          state = snapshot.value;
          if (state !== from) this.#emitState(from, state, snapshot.context);
        },
        complete: resolve,
        error: (error: unknown) => {
          this.#host.emit(makeEvent('warning', { domid: this.domid, ...failureDetails(error) }));
          resolve();
        },
      });
    });
    this.#actor.start();
    await over;
    this.#subscription.unsubscribe();
    await this.#endWorker();
  }

  #emitState(from: string, to: string, { failure, view }: GuestContext): void {
    const failed = to === 'failing' && failure !== null;
    this.#host.emit(
      makeEvent('guest.state', {
        domid: this.domid,
        from,
        to,
        cause: `front-end ${xenbusStateName(view.frontendState)}`,
        ...(failed ? { reason: failure.reason, message: failure.message } : {}),
      }),
    );
  }

  async #observe(): Promise<void> {
    const view = await this.#readView();
    if (this.#actor.getSnapshot().status === 'active') this.#actor.send({ type: 'observed', view });
  }

  async #readView(): Promise<GuestView> {
    return readGuestView(this.#host.xenstore, this.#host.platform, this.domid);
  }

  async #settled(): Promise<Settled> {
    return { view: await this.#readView(), exported: this.#functions.exported() };
  }

  /** Runs an effect again when xenstored went away in the middle of it: every effect may be repeated from its start. */
  async #persistently<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await run();
      } catch (error) {
        // A daemon that ends does not wait for xenstored: functions can be reset and given back without it.
        if (!(error instanceof ConnectionLost) || this.#isStopping) throw error;
        const back = this.#host.xenstore.state$.pipe(filter((now) => now !== 'reconnecting'));
        const state = await firstValueFrom(merge(back, this.#stops));
        if (state !== 'connected') throw error;
      }
    }
  }

  async #announce(): Promise<void> {
    // Functions that are somebody's of this id, but not on this bus, were left by a domain that had the id before.
    await this.#functions.giveBack(...this.#functions.leftovers());
    await this.#writer.advance([Initialising, Closing, Closed], InitWait);
  }

  /** Before the front-end is up, a function that cannot be exported fails the guest: it was promised all of them. */
  async #exportListed(view: GuestView): Promise<void> {
    if (view.badCount !== undefined) {
      throw new PcibackError(
        'BACKEND-KEYS',
        `num_devs of domain ${this.domid} is ${quote(view.badCount)}, which is no number of functions`,
        'see what the toolstack wrote there',
      );
    }
    for (const device of view.devices ?? []) {
      if (device.state === Closing) {
        await this.#takeBackListed(device);
        // Without a front-end there is no handshake whose end would tell the toolstack.
        await this.#writer.withdrawn(device.index);
      } else if (device.state !== Closed && !this.#isExported(device)) await this.#export(device);
    }
    await this.#writer.publishRoots(this.#functions.roots());
    await this.#writer.advance([InitWait], Initialised);
  }

  /** The guest has it, its worker too, and its directory says so. */
  #isExported({ sbdf, state, vdev }: DeviceEntry): boolean {
    if (sbdf === undefined || vdev === undefined || state !== Initialised) return false;
    return this.#functions.isInHand(sbdf) && this.#functions.guestAddressOf(sbdf) === vdev;
  }

  /** Always ends: what cannot be added is refused by itself, what cannot be taken back was never here. */
  async #reconfigure(): Promise<void> {
    const view = await this.#readView();
    for (const device of view.devices ?? []) {
      if (device.state === Closing) await this.#takeBackListed(device);
      else if (device.state === Initialising) await this.#exportOrReject(device);
    }
    await this.#writer.publishRoots(this.#functions.roots());
    await this.#writer.advance([Reconfiguring], Reconfigured);
  }

  async #export(device: DeviceEntry): Promise<void> {
    const { sbdf, index } = device;
    if (sbdf === undefined) {
      throw new PcibackError(
        'BACKEND-KEYS',
        `dev-${index} of domain ${this.domid} is missing or no PCI address`,
        'see what the toolstack wrote there',
      );
    }
    await this.#host.host.hideListed(sbdf, this.domid);
    this.#host.host.requireIsolated(sbdf, this.domid);
    this.#warnOfFormerOwner(sbdf);
    const guestAddress = await this.#functions.take(sbdf, device.requestedDevfn, device.permissive);
    await this.#writer.exported(index, sbdf, guestAddress);
  }

  /** Xen looks at permissions when a page is mapped, and never again (xen/arch/x86/mm.c, get_page_from_l1e). */
  #warnOfFormerOwner(sbdf: Sbdf): void {
    const { registry, platform, emit } = this.#host;
    const former = registry.formerOwnerOf(sbdf);
    if (platform.kind !== 'xen' || former === undefined || former === this.domid) return;
    if (platform.domainState(former) === 'absent') return;
    emit(
      makeEvent('warning', {
        sbdf,
        domid: this.domid,
        reason: 'NOT-ISOLATED',
        message: `domain ${former}, which had ${formatSbdf(sbdf)} before, still exists: what it has mapped of its registers it can still reach`,
        remedy: 'hand functions from a guest that is not trusted to another only after it has been destroyed',
      }),
    );
  }

  async #exportOrReject(device: DeviceEntry): Promise<void> {
    try {
      await this.#export(device);
    } catch (error) {
      if (!(error instanceof PcibackError) || error.reason === 'WORKER-DIED') throw error;
      const sbdf = device.sbdf === undefined ? {} : { sbdf: device.sbdf };
      this.#host.emit(makeEvent('attach.failed', { ...sbdf, domid: this.domid, ...failureDetails(error) }));
      await this.#writer.withdrawn(device.index);
      await this.#writer.fatal(errnoOf(error.reason), error.message);
    }
  }

  async #takeBackListed({ sbdf, index }: DeviceEntry): Promise<void> {
    if (sbdf !== undefined && this.#functions.guestAddressOf(sbdf) !== undefined) {
      await this.#functions.giveBack(sbdf);
      return;
    }
    const named = sbdf === undefined ? `dev-${index}` : formatSbdf(sbdf);
    this.#host.emit(
      makeEvent('warning', {
        domid: this.domid,
        reason: 'NOT-ATTACHED',
        message: `${named} is to be detached from domain ${this.domid}, which does not have it`,
      }),
    );
  }

  async #connect({ frontendPath }: GuestView): Promise<void> {
    await this.#attachRing(frontendPath, false);
    await this.#writer.advance([Initialised], Connected);
  }

  async #attachRing(frontendPath: string, adopted: boolean): Promise<void> {
    const values = await Promise.all(
      frontendKeyNames.map((key) => this.#host.xenstore.read(`${frontendPath}/${key}`)),
    );
    await this.#theWorker().step({ do: 'connect', ...parseFrontendKeys(values), adopted });
  }

  async #detachRing(): Promise<void> {
    await this.#worker?.step({ do: 'disconnect' });
    this.#host.ports.delete(String(this.domid));
  }

  async #restart(): Promise<void> {
    await this.#detachRing();
    await this.#writer.advance([Connected, Reconfiguring, Reconfigured], InitWait);
  }

  async #disconnect({ frontendState }: GuestView): Promise<void> {
    await this.#detachRing();
    // A front-end that is Closed already waits for Closed, not for Closing.
    if (frontendState !== Closed) {
      await this.#writer.advance([InitWait, Initialised, Connected, Reconfiguring, Reconfigured], Closing);
    }
  }

  async #fail(failure: GuestContext['failure']): Promise<void> {
    await this.#detachRing();
    if (failure) await this.#writer.fatal(errnoOf(failure.reason), failure.message);
    await this.#writer.advance(
      [Initialising, InitWait, Initialised, Connected, Reconfiguring, Reconfigured],
      Closing,
    );
  }

  async #adopt(): Promise<Adopted> {
    if (this.#shortLives > mostShortLives) {
      throw new PcibackError(
        'CRASH-LOOP',
        `${this.#shortLives} workers of domain ${this.domid} died as soon as they served it`,
        'report this with the events of the daemon; the guest has to be restarted',
      );
    }
    const view = this.#firstView ?? (await this.#readView());
    this.#firstView = undefined;
    const listed = new Map(view.devices?.map((device) => [device.sbdf, device]));
    const leaving: Sbdf[] = [];
    for (const sbdf of this.#host.registry.ownedBy(this.domid)) {
      const device = listed.get(sbdf);
      if (device && !this.#functions.isLeaving(sbdf)) {
        await this.#functions.restore(sbdf, device.vdev, device.permissive);
      } else leaving.push(sbdf);
    }
    // Of what they share with those that stay, the worker has to know first.
    for (const sbdf of leaving) await this.#functions.giveBack(sbdf);
    const position = positionAt[view.state];
    const isServed = position === 'connected' || position === 'reconfigured';
    // A front-end that has closed or started over meanwhile has no ring to go on with.
    const hasRing = [Initialised, Connected, Reconfiguring, Reconfigured].some(
      (state) => state === view.frontendState,
    );
    if (isServed && hasRing) await this.#attachRing(view.frontendPath, true);
    // A directory that begins in InitWait, so that the kernel leaves it alone, is nobody's legacy.
    if (position !== 'waiting')
      this.#host.emit(makeEvent('guest.adopted', { domid: this.domid, to: position }));
    return { ...(await this.#settled()), position };
  }

  async #release(): Promise<void> {
    await this.#worker?.step({ do: 'quiesce' });
    await this.#detachRing();
    const owned = this.#host.registry.ownedBy(this.domid);
    await this.#functions.giveBack(...owned);
    await this.#endWorker();
    // A directory that says Initialising is a new one already, and none of ours.
    await this.#writer.advance(
      [InitWait, Initialised, Connected, Closing, Reconfiguring, Reconfigured],
      Closed,
    );
    const isIntroduced = await this.#host.xenstore.isIntroduced(this.domid);
    if (isIntroduced && this.#host.platform.domainState(this.domid) === 'running') return;
    await this.#sweep(owned, !isIntroduced);
  }

  /**
   * libxl never removes the back-end directory of a guest that died, and waits ten seconds for each function of one that was shut
   * down to be given back by the guest: what nobody will ever close is removed here.
   */
  async #sweep(functions: readonly Sbdf[], isGone: boolean): Promise<void> {
    const { domid } = this;
    await this.#host.xenstore.transaction(async (tx) => {
      const { devices = [] } = await readBackendView((path) => tx.read(path), domid);
      await tx.rm(backendPath(domid).replace(/\/0$/, ''));
      const listed = devices.flatMap(({ sbdf }) => (sbdf === undefined ? [] : [sbdf]));
      for (const claim of new Set([...functions, ...listed].map(claimPath))) {
        if ((await tx.read(claim)) === String(domid)) await tx.rm(claim);
      }
      // On the loopback platform nobody else looks after what is left of a domain.
      if (isGone && this.#host.platform.kind === 'loopback') await tx.rm(domainPath(domid));
    });
  }

  #theWorker(): GuestWorker {
    if (this.#worker) return this.#worker;
    if (this.#isHandedOver)
      throw new PcibackError('WORKER-DIED', 'another session serves the guest', 'nothing');
    const { pool, where } = this.#host;
    const worker = new GuestWorker(pool, this.domid, where, (report) => this.#hear(report));
    this.#worker = worker;
    const begin = performance.now();
    void worker.over.then((how) => {
      if (how === 'ended' || this.#worker !== worker) return;
      this.#worker = undefined;
      const lived = performance.now() - begin;
      if (!worker.wasEndedOnPurpose) this.#shortLives = lived < shortLife ? this.#shortLives + 1 : 1;
      this.#functions.workerLost();
      this.#host.emit(makeEvent('worker.died', { domid: this.domid, reason: 'WORKER-DIED' }));
      this.#actor.send({ type: 'workerDied' });
    });
    return worker;
  }

  async #endWorker(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#functions.workerLost();
    await worker?.end();
  }

  #hear(report: Report): void {
    const { emit, registry, ports } = this.#host;
    if (report.is === 'function') registry.update(report.sbdf, report.snapshot);
    if (report.is === 'bound') ports.put(String(this.domid), report.localPort);
    for (const event of eventsOf(report, this.domid, registry)) emit(event);
    if (report.is === 'ringLost') this.#actor.send({ type: 'ringLost' });
  }
}
