/**
 * What the machine of a guest decides, done: its functions, its ring, and what its directory says of them, in the order in
 * which the other side relies on it. Every effect may be repeated from its start.
 */
import type { Adopted, GuestContext, Settled } from '../../machines/guest.ts';
import type { Sbdf } from '../address.ts';
import { makeEvent } from '../monitor/events.ts';
import { type GuestView, XenbusState } from '../xenbus/index.ts';
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

export class GuestEffects {
  readonly #host: SessionHost;
  readonly #domid: number;
  readonly #service: GuestService;
  readonly #functions: GuestFunctions;
  readonly #fence: Fence;
  readonly #writer: XenbusWriter;
  readonly #listed: ListedDevices;
  /** What the session began with, until something has come of it. */
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
    this.#first = first;
    this.#last = first;
    this.#service = service;
    this.#functions = functions;
    this.#fence = service.fence;
    this.#writer = new XenbusWriter(host.xenstore, domid, this.#fence);
    this.#listed = new ListedDevices(host, domid, functions, this.#writer, this.#fence);
  }

  /** What both directories of the guest say now. Who asks while somebody else has to wait for that is given the same. */
  view(): Promise<GuestView> {
    const { xenstore, platform } = this.#host;
    return (this.#next ??= this.#look(() => {
      this.#next = undefined;
      return readGuestView(xenstore, platform, this.#domid, this.#last);
    }));
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
    await this.#functions.giveBack(...owned);
    await this.dismissWorker();
    // A directory that says Initialising is a new one already, and none of ours.
    await this.#writer.advance(
      [InitWait, Initialised, Connected, Closing, Reconfiguring, Reconfigured],
      Closed,
    );
    const isIntroduced = await this.#host.xenstore.isIntroduced(this.#domid);
    if (isIntroduced && this.#host.platform.domainState(this.#domid) === 'running') return;
    await sweep(this.#host, this.#domid, owned, this.#fence);
  }

  /** Ends the worker in order: what it had in hand stays as it is. */
  async dismissWorker(): Promise<void> {
    this.#isOver = true;
    this.#dropBegun();
    this.#functions.workerLost();
    await this.#service.end();
  }
}
