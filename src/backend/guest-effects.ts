/**
 * What the machine of a guest decides, done: its functions, its ring, and what its directory says of them, in the order in
 * which the other side relies on it. Every effect may be repeated from its start.
 */
import type { Adopted, GuestContext, Settled } from '../../machines/guest.ts';
import type { Sbdf } from '../address.ts';
import { makeEvent } from '../monitor/events.ts';
import { type GuestView, XenbusState, claimPath, readBackendView } from '../xenbus/index.ts';
import type { BegunTransaction } from '../xenstore/index.ts';
import type { Fence } from './fence.ts';
import type { GuestFunctions } from './guest-functions.ts';
import type { GuestService } from './guest-service.ts';
import { positionAt, readFrontend, readGuestView } from './guest-view.ts';
import { ListedDevices } from './listed-devices.ts';
import type { SessionHost } from './session-host.ts';
import { sweep } from './sweep.ts';
import { XenbusWriter } from './xenbus-writer.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

/** What a back-end writes once it serves a domain: another domain of the same id begins with none of these. */
const servedStates: ReadonlySet<XenbusState> = new Set([
  Initialised,
  Connected,
  Closing,
  Reconfiguring,
  Reconfigured,
]);

export class GuestEffects {
  readonly #host: SessionHost;
  readonly #domid: number;
  readonly #service: GuestService;
  readonly #functions: GuestFunctions;
  readonly #fence: Fence;
  readonly #writer: XenbusWriter;
  readonly #listed: ListedDevices;
  /** What the session begins with. */
  readonly first: GuestView;
  /** The same, until something has come of it. */
  #first: GuestView | undefined;
  #last: GuestView;
  #looking: Promise<unknown> = Promise.resolve();
  #begun: BegunTransaction | undefined;
  #isOver = false;
  /** A look that has not begun yet. */
  #next: Promise<GuestView> | undefined;

  constructor(
    host: SessionHost,
    domid: number,
    first: GuestView,
    service: GuestService,
    functions: GuestFunctions,
  ) {
    this.#host = host;
    this.#domid = domid;
    this.#service = service;
    this.#functions = functions;
    this.#fence = service.fence;
    this.#writer = new XenbusWriter(host.xenstore, domid, this.#fence);
    this.#listed = new ListedDevices(host, domid, functions, this.#writer, this.#fence);
    this.first = this.#judge(first);
    this.#first = this.first;
    this.#last = this.first;
  }

  /** What both directories of the guest say now. Who asks while somebody else has to wait for that is given the same. */
  view(): Promise<GuestView> {
    const { xenstore, platform } = this.#host;
    return (this.#next ??= this.#look(async () => {
      this.#next = undefined;
      return this.#judge(await readGuestView(xenstore, platform, this.#domid, this.#last));
    }));
  }

  /** A guest has also ended when its directory is there still, but another domain has its id. */
  #judge(view: GuestView): GuestView {
    const isFormers = servedStates.has(view.state) && this.#functions.formerDomains().length > 0;
    return isFormers || this.#isReplaced() ? { ...view, ended: true } : view;
  }

  /** Another domain has the id by now: the guest of this session has ended, whatever is in the directories. */
  #isReplaced(): boolean {
    const { platform } = this.#host;
    if (platform.domainIdentity(this.#domid) === this.#service.domain) return false;
    return platform.domainState(this.#domid) === 'running';
  }

  /** The same when only the front-end has said something since they were last read. */
  viewOfFrontend(): Promise<GuestView> {
    return this.#last.present ? this.#look(() => this.#readFrontend()) : this.view();
  }

  /** What comes next, as a rule, is for us to say that the ring is up: its transaction begins along with the question. */
  async #readFrontend(): Promise<GuestView> {
    const { xenstore } = this.#host;
    const reading = readFrontend(xenstore, this.#last);
    if (this.#last.state === Initialised && !this.#service.ring) this.#begun ??= xenstore.begin();
    let isReady = false;
    try {
      const view = await reading;
      isReady = view.frontendState === Initialised;
      return view;
    } finally {
      if (!isReady || this.#isOver) this.#dropBegun();
    }
  }

  #takeBegun(): BegunTransaction | undefined {
    const begun = this.#begun;
    this.#begun = undefined;
    return begun;
  }

  #dropBegun(): void {
    this.#takeBegun()?.drop();
  }

  /** One after the other: of two views that were read at a time nobody could tell which one is newer. */
  #look(read: () => Promise<GuestView>): Promise<GuestView> {
    const looking = this.#looking
      .catch(() => undefined)
      .then(read)
      .then((view) => (this.#last = { ...view, serial: this.#last.serial + 1 }));
    this.#looking = looking;
    return looking;
  }

  async settled(): Promise<Settled> {
    // Whatever it was begun for has been decided otherwise.
    this.#dropBegun();
    const view = await this.view();
    return { view, exported: this.#functions.exported(), servedRing: this.#service.ring };
  }

  async announce(): Promise<void> {
    await this.#takeFromFormer();
    // Functions that are somebody's of this id, but not on this bus, were left by a domain that had the id before.
    await this.#functions.giveBack(...this.#functions.leftovers());
    await this.#writer.advance([Initialising, Closing, Closed], InitWait);
  }

  async exportFunctions({ view }: GuestContext): Promise<void> {
    await this.#listed.exportAll(view);
    await this.#writer.advance([InitWait], Initialised);
  }

  async connect({ view }: GuestContext): Promise<void> {
    const attach = (): Promise<void> => this.#service.attachRing(view, false);
    await this.#writer.advance([Initialised], Connected, attach, this.#takeBegun());
    await this.#service.settle();
  }

  async reconfigure(): Promise<void> {
    await this.#listed.followChanges(await this.view());
    await this.#writer.advance([Reconfiguring], Reconfigured);
  }

  async resume(): Promise<void> {
    await this.#writer.advance([Reconfigured], Connected);
  }

  async restart(): Promise<void> {
    await this.#service.detachRing();
    await this.#writer.advance([Connected, Reconfiguring, Reconfigured], InitWait);
  }

  async disconnect({ view }: GuestContext): Promise<void> {
    await this.#service.detachRing();
    // A front-end that is Closed already waits for Closed, not for Closing.
    if (view.frontendState !== Closed) {
      await this.#writer.advance([InitWait, Initialised, Connected, Reconfiguring, Reconfigured], Closing);
    }
  }

  async close(): Promise<void> {
    await this.#writer.advance([InitWait, Initialised, Connected, Closing], Closed);
  }

  async fail({ failure }: GuestContext): Promise<void> {
    await this.#service.detachRing();
    if (failure) await this.#writer.fatal(failure);
    await this.#writer.advance(
      [Initialising, InitWait, Initialised, Connected, Reconfiguring, Reconfigured],
      Closing,
    );
  }

  async adopt(context: GuestContext): Promise<Adopted> {
    this.#service.requireLastingWorkers();
    // A session that begins with an adoption has just read both directories.
    const [view, resumed] = await Promise.all([
      context.view === this.#first ? context.view : this.view(),
      this.#service.takeResumed(),
    ]);
    this.#first = undefined;
    this.#functions.resume(resumed);
    await this.#takeFromFormer();
    const listed = new Map(view.devices?.map((device) => [device.sbdf, device]));
    const leaving: Sbdf[] = [];
    for (const sbdf of this.#host.registry.ownedBy(this.#domid)) {
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
    if (isServed && hasRing) {
      await this.#service.attachRing(view, true);
      await this.#service.settle();
    } else await this.#service.detachRing();
    // A directory that begins in InitWait, so that the kernel leaves it alone, is nobody's legacy.
    if (position !== 'waiting')
      this.#host.emit(makeEvent('guest.adopted', { domid: this.#domid, to: position }));
    return { ...(await this.settled()), position };
  }

  async release(): Promise<void> {
    await this.#service.quiesce();
    await this.#service.detachRing('now');
    const owned = this.#host.registry.ownedBy(this.#domid);
    const isReplaced = this.#isReplaced() || this.#functions.formerDomains().length > 0;
    const isLeftBehind = isReplaced && (await this.#isLeftBehind());
    await this.#functions.giveBack(...owned);
    await this.dismissWorker();
    if (isReplaced && !isLeftBehind) return this.#dropClaims(owned);
    // A directory that says Initialising is a new one already, and none of ours.
    await this.#writer.advance(
      [InitWait, Initialised, Connected, Closing, Reconfiguring, Reconfigured],
      Closed,
    );
    const isIntroduced = await this.#host.xenstore.isIntroduced(this.#domid);
    const isRunning = isIntroduced && this.#host.platform.domainState(this.#domid) === 'running';
    if (isRunning && !isReplaced) return;
    await sweep(this.#host, this.#domid, owned, this.#fence);
  }

  /** Before anything else is done for the present domain of this id. */
  async #takeFromFormer(): Promise<void> {
    const former = this.#functions.formerDomains();
    if (former.length === 0) return;
    await this.#functions.giveBack(...former);
    await this.#dropClaims(former);
  }

  /** A claim names an id. What the directory lists, the present domain of that id claims. */
  async #dropClaims(functions: readonly Sbdf[]): Promise<void> {
    const domid = this.#domid;
    await this.#host.xenstore.transaction(async (tx) => {
      const { devices = [] } = await readBackendView((path) => tx.read(path), domid);
      for (const sbdf of functions.filter((each) => devices.every((device) => device.sbdf !== each))) {
        if ((await tx.read(claimPath(sbdf))) === String(domid)) await tx.rm(claimPath(sbdf));
      }
      this.#fence.check();
    });
  }

  /** Whether the directory is the former domain's. The present one's begins along with that of its front-end. */
  async #isLeftBehind(): Promise<boolean> {
    const { present, state, frontendState } = await this.view();
    const hasFrontend = frontendState !== XenbusState.Unknown;
    return present && state !== Initialising && (servedStates.has(state) || !hasFrontend);
  }

  /** Ends the worker in order: what it had in hand stays as it is. */
  async dismissWorker(): Promise<void> {
    this.#isOver = true;
    this.#dropBegun();
    this.#functions.workerLost();
    await this.#service.end();
  }
}
