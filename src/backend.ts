/**
 * The back-end as a whole, to be embedded by a dom0 supervisor: it watches xenstore for guests, gives each a session and a
 * worker, and tells what happens as a stream of events.
 */
import { uptime } from 'node:os';
import { NEVER, type Observable, Subscription, switchMap, timer } from 'rxjs';
import { type Actor, type SnapshotFrom, createActor, fromPromise, waitFor } from 'xstate';
import type { ResetOutcome } from '../machines/function.ts';
import { supervisorMachine } from '../machines/supervisor.ts';
import type { Sbdf } from './address.ts';
import { type Wanted, requireAttachable } from './backend/attachable.ts';
import { type EngineOptions, inherit, openEngine } from './backend/engine.ts';
import { type Explanation, explainEntry, explainFacts } from './backend/explain.ts';
import { follow } from './backend/follow.ts';
import { closeAll } from './backend/close-guests.ts';
import { functionsToHide, hideAll } from './backend/hide-list.ts';
import type { HideOutcome, UnhideOutcome } from './backend/host-functions.ts';
import type { QuirkOutcome } from './backend/methods.ts';
import { startMetrics } from './backend/metrics.ts';
import { listen } from './backend/listen.ts';
import type { PciBackendOptions, Succession } from './backend/options.ts';
import { prepare, provideXenstored, rehearseReplacement } from './backend/prepare.ts';
import { kernelPatience, waitAtMost } from './backend/patience.ts';
import { resetLeftHalfway, resetMethodsOf, resetUnowned } from './backend/reset-unowned.ts';
import { endUnclaimed } from './backend/resume.ts';
import type { Running } from './backend/running.ts';
import { StandIns, reignFrom } from './backend/stand-ins.ts';
import { StateDirectory } from './backend/state-directory.ts';
import { type BackendStatus, functionStatus, guestStatus, kernelGuestStatus } from './backend/status.ts';
import { type Place, awaitDeath, requireStandIn, takeOver } from './backend/turn.ts';
import { endXenstored } from './backend/xenstored.ts';
import { type Quirk, formatQuirk } from './config-space/index.ts';
import { PcibackError } from './errors.ts';
import { allFunctions, type Inventory, type ResetMethod, setPriorityOfThreads } from './host/index.ts';
import { type PlatformOptions, stateDirectoryIn, xenDirectory } from './host/platform.ts';
import { EventOutlet } from './monitor/event-outlet.ts';
import { type BackendEvent, failureDetails, makeEvent } from './monitor/index.ts';
import type { GuestView } from './xenbus/index.ts';

/** Milliseconds that an orderly end waits for a xenstored that has gone. */
const xenstorePatience = 2000;

export class PciBackend {
  readonly #options: PciBackendOptions;
  readonly #directory: string;
  /** How this thread and the workers open the platform. */
  readonly #where: PlatformOptions;
  readonly #place: Place;
  readonly #outlet: EventOutlet;
  readonly #actor: Actor<typeof supervisorMachine>;
  readonly #subscriptions: Subscription[] = [];
  readonly #running: Running = {};
  readonly #stopping = new AbortController();
  /** A back-end is started once: what it is made of is gone after its end. */
  #isStarted = false;
  #succession: Succession | undefined;
  /** It has waited for the lock of another one, which was about to end. */
  #isSuccessor = false;
  #failure: unknown;
  #underWay: Promise<void> = Promise.resolve();

  /** Nothing happens before `start`, so that no event is missed. */
  constructor(options: PciBackendOptions) {
    this.#options = options;
    this.#outlet = new EventOutlet(options.eventBudget);
    this.#directory = options.platform.directory ?? xenDirectory;
    const stateDirectory = options.stateDirectory ?? stateDirectoryIn(this.#directory);
    this.#where =
      options.platform.kind === 'rehearsal' ? options.platform : { ...options.platform, stateDirectory };
    this.#place = {
      directory: this.#directory,
      state: new StateDirectory(
        stateDirectory,
        (event) => this.#emit(event),
        options.stateFiles,
        options.stateDirectory === undefined ? 'own' : 'named',
      ),
      controlSocket: options.controlSocket,
    };
    const step = (run: () => Promise<void>) =>
      fromPromise<void>(async () => {
        // A step that a stop or a failure cut short runs to its end before what it did is undone. And what a state is
        // entered for happens after it has been told that it is entered.
        const before = this.#underWay;
        this.#underWay = (async () => {
          await before.catch(() => undefined);
          await run();
        })();
        try {
          await this.#underWay;
        } catch (error) {
          this.#failure ??= error;
          throw error;
        }
      });
    this.#actor = createActor(
      supervisorMachine.provide({
        actors: {
          prepare: step(() =>
            prepare(this.#running, { ...options, platform: this.#where }, this.#place, (event) =>
              this.#emit(event),
            ),
          ),
          takeTurn: step(() => this.#takeTurn()),
          adopt: step(() => this.#adopt()),
          hide: step(() => this.#hideListed()),
          drain: step(() => this.#drain()),
          abandon: step(() => this.#abandon()),
        },
      }),
    );
  }

  /** What happens, as it happens, as far as the budget of each guest allows. Completes when the back-end has ended. */
  get events$(): Observable<BackendEvent> {
    return this.#outlet.told$;
  }

  /**
   * Comes up: takes the directory, connects to xenstored, takes over guests that are running and hides what it was told to. A
   * stand-in waits in between until it is needed. Rejects with a PcibackError, and everything undone, when that is not possible.
   */
  async start(): Promise<void> {
    if (this.#isStarted) throw stopped();
    this.#isStarted = true;
    let state = 'stopped';
    let announced = false;
    this.#actor.subscribe({
      next: (snapshot) => {
        const from = state;
        state = snapshot.value;
        if (state === from) return;
        this.#emit(makeEvent('backend.state', { from, to: state }));
        if (state !== 'ready' || announced) return;
        announced = true;
        this.#emit(makeEvent('backend.ready', { to: this.#directory }));
        this.#getReady().catch((error: unknown) => this.#emit(makeEvent('warning', failureDetails(error))));
      },
      complete: () => this.#outlet.complete(),
    });
    this.#actor.start();
    const isDecided = (now: SnapshotFrom<typeof supervisorMachine>): boolean =>
      now.matches('ready') || now.status === 'done';
    const up = await waitFor(this.#actor, isDecided, { timeout: Infinity });
    if (!up.matches('ready')) throw this.#failure ?? stopped();
  }

  /** Closes every guest, gives every function back and ends. May be called at any time, and twice. */
  async stop(): Promise<void> {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#outlet.complete();
      return;
    }
    if (this.#actor.getSnapshot().status === 'active') this.#actor.send({ type: 'stop' });
    this.#stopping.abort(stopped());
    await waitFor(this.#actor, (snapshot) => snapshot.status === 'done', { timeout: Infinity });
  }

  /**
   * Lets another back-end go on with the guests, which is ready for it and waits for the lock: lets go of them as they are, and ends.
   * Throws DAEMON-RUNNING unless this one took over as a stand-in, and STATE-NOT-SAVED while the other one would not find all of it.
   */
  handOver(): void {
    requireStandIn(this.#hasTakenOver, this.#directory);
    this.#place.state.requireSaved();
    // Who asked is answered first.
    setImmediate(() => this.#actor.send({ type: 'handOver' }));
  }

  /**
   * Takes a function from its host driver, so that guests can have it. One that is hidden already stays as it is, unless the toolstack
   * looks for it at another stub. Rejects with NO-SUCH-FUNCTION, NOT-ANSWERING, NO-IOMMU, BRIDGE, HEADER-TYPE, FUNCTION-IN-USE,
   * HOST-USES-IT unless it is `force`d, or RESET-FAILED: it is hidden and quarantined then.
   */
  async hide(sbdf: Sbdf, { force = false }: { readonly force?: boolean } = {}): Promise<HideOutcome> {
    return this.#parts().host.hide(sbdf, force);
  }

  /**
   * Gives a hidden function back to the host. Rejects with NOT-HIDDEN, FUNCTION-IN-USE, NOT-ISOLATED, QUARANTINED unless it is
   * `force`d, or NOT-RETURNED when its driver does not take it.
   */
  async unhide(sbdf: Sbdf, { force = false }: { readonly force?: boolean } = {}): Promise<UnhideOutcome> {
    return this.#parts().host.unhide(sbdf, force);
  }

  /**
   * Resets a function that no guest has: the way out of quarantine. Rejects with NOT-HIDDEN, FUNCTION-IN-USE, or RESET-FAILED;
   * the function is then quarantined.
   */
  async reset(sbdf: Sbdf): Promise<ResetOutcome> {
    const { registry, platform, host } = this.#parts();
    host.look(sbdf);
    return resetUnowned(platform, registry, sbdf, (event) => this.#emit(event));
  }

  /** In which ways a function of this host can be reset, and why it cannot in others. Throws NO-SUCH-FUNCTION. */
  resetMethods(sbdf: Sbdf): readonly ResetMethod[] {
    const { platform, registry, host } = this.#parts();
    const isHidden = registry.get(sbdf) !== undefined;
    return resetMethodsOf(platform, host.factsOf(sbdf), allFunctions(host.inventory), isHidden);
  }

  /**
   * Checks that a guest can be given functions, as far as that can be told beforehand; nothing is changed. Functions that are not
   * hidden yet count as if they were.
   * @throws NO-SUCH-FUNCTION, BRIDGE, NO-SLOT or NOT-ISOLATED
   */
  requireAttachable(domid: number, wanted: readonly Wanted[]): void {
    const { guests, ...parts } = this.#parts();
    requireAttachable(parts, guests.functionsOf(domid), domid, wanted);
  }

  /** What a guest may do with a function, register by register. Throws NO-SUCH-FUNCTION or HEADER-TYPE. */
  explain(sbdf: Sbdf): Explanation {
    const { registry, records, host } = this.#parts();
    host.look(sbdf);
    const entry = registry.get(sbdf);
    if (!entry) return explainFacts(host.factsOf(sbdf));
    return explainEntry(entry, registry.ownerOf(sbdf) ?? null, records.of(sbdf));
  }

  /**
   * Lets the guest that has a hidden function, or else the next one, write a range of registers in addition, until it gives
   * the function back. Only a change is told as an event.
   * @returns what has changed
   * @throws NOT-HIDDEN, or BAD-SPEC when the range cannot be had
   */
  async addQuirk(quirk: Quirk): Promise<QuirkOutcome> {
    const { registry, guests, host } = this.#parts();
    const { sbdf } = quirk;
    host.look(sbdf);
    const { changed, replaced, mode } = registry.addQuirk(quirk);
    const outcome = { quirk: formatQuirk(quirk), changed, replaced: replaced.map(formatQuirk) };
    if (!changed) return outcome;
    const owner = registry.ownerOf(sbdf);
    if (owner !== undefined) await guests.sessionOf(owner)?.trust(sbdf, mode);
    this.#emit(makeEvent('function.quirk', { sbdf, cause: outcome.quirk }));
    return outcome;
  }

  /**
   * Ends the thread that serves a guest in the middle of whatever it does. The guest notices nothing but a pause; that is
   * what this is for: to see it happen. All guests on that thread change workers.
   */
  async killWorker(domid: number): Promise<void> {
    await this.#running.guests?.sessionOf(domid)?.killWorker();
  }

  /**
   * Has a simulated function signal each of its message-signalled vectors once, and says how many of these interrupts its guest
   * was listening for. Real functions signal by themselves.
   */
  signal(sbdf: Sbdf): number {
    const { registry, records, platform } = this.#parts();
    const domid = registry.ownerOf(sbdf);
    const record = records.of(sbdf);
    if (domid === undefined || !record) return 0;
    const pirqs = Array.from({ length: record.vectors }, (_, vector) => record.pirq(vector));
    return pirqs.filter((pirq) => platform.signal(domid, pirq)).length;
  }

  /** The functions that this host has now, whether hidden or not. */
  get inventory(): Inventory {
    return this.#running.host?.lookAgain() ?? { functions: [], warnings: [] };
  }

  status(): BackendStatus {
    const { registry, records, guests, host } = this.#running;
    const kernels = guests?.kernelGuests() ?? new Map<number, GuestView>();
    host?.look();
    return {
      pid: process.pid,
      directory: this.#directory,
      topology: this.#options.topology ?? 'vpci',
      state: this.#actor.getSnapshot().value,
      tookOver: this.#hasTakenOver,
      standIn: this.#running.standIns?.pid ?? null,
      stateNotSaved: this.#place.state.saver.unsaved,
      guests:
        registry && records && guests
          ? [
              ...guests.sessions().map((session) => guestStatus(session, registry, records)),
              ...[...kernels].map(([domid, view]) => kernelGuestStatus(domid, view, registry)),
            ]
          : [],
      functions: registry
        ? registry.entries().map((entry) =>
            functionStatus(entry, registry, {
              problem: host?.problemOf(entry.facts.sbdf) ?? null,
              isKernels: (domid) => kernels.has(domid),
            }),
          )
        : [],
    };
  }

  async #takeTurn(): Promise<void> {
    const { standsIn } = this.#options;
    const { signal } = this.#stopping;
    this.#isSuccessor = this.#running.lock === undefined;
    if (standsIn) {
      this.#running.lock = await awaitDeath(this.#place, standsIn, signal);
      this.#inherit();
      this.#succession = reignFrom(uptime(), standsIn.succession);
      this.#emit(makeEvent('backend.standIn', { to: 'daemon', data: { pid: process.pid } }));
    } else {
      this.#running.lock ??= await takeOver(this.#place, signal);
      this.#inherit();
    }
  }

  /** Guests of a predecessor are waiting: before anything is told or asked, they are served again. */
  #inherit(): void {
    const { platform, pool } = this.#running;
    if (!platform || !pool) throw notRunning();
    this.#running.inheritance = inherit({ platform, pool }, this.#engineOptions);
  }

  get #engineOptions(): EngineOptions {
    return {
      where: this.#where,
      state: this.#place.state,
      topology: this.#options.topology ?? 'vpci',
      isReady: () => this.#actor.getSnapshot().matches('ready'),
      emit: (event) => this.#emit(event),
    };
  }

  /** Takes over whatever is running, and from then on follows what comes and goes. */
  async #adopt(): Promise<void> {
    const { platform: where, metrics } = this.#options;
    const running = this.#running;
    const { platform, pool, xenstore, inventory, inheritance } = running;
    if (!platform || !pool || !xenstore || !inventory || !inheritance) throw notRunning();
    const emit = (event: BackendEvent): void => this.#emit(event);
    const warn = (error: unknown): void => emit(makeEvent('warning', failureDetails(error)));
    await provideXenstored(running, where, emit);
    const engine = openEngine({ platform, pool, xenstore, inventory }, inheritance, this.#engineOptions);
    Object.assign(running, engine);
    const { registry, records, host, guests } = engine;
    host.reconcile();
    this.#subscriptions.push(
      new Subscription(() => void guests.close()),
      xenstore.state$.subscribe((state) => {
        if (state === 'reconnecting') this.#actor.send({ type: 'xenstoreLost' });
        if (state === 'connected') this.#actor.send({ type: 'xenstoreBack' });
      }),
    );
    // Functions of guests whose directories are gone: their sessions begin with giving them back.
    const owners = new Set(registry.entries().flatMap(({ facts }) => registry.ownerOf(facts.sbdf) ?? []));
    const attended = Promise.all([...owners].map((owner) => guests.attend(owner)));
    attended.catch(() => undefined);
    try {
      await this.#listen();
    } finally {
      await attended;
    }
    await follow(xenstore, guests, this.#subscriptions, warn);
    await endUnclaimed(inheritance.resumed, inheritance.rings);
    resetLeftHalfway(platform, registry, emit).catch(warn);
    const settled = Promise.all(guests.sessions().map((session) => session.settled()));
    await waitAtMost(kernelPatience, settled, this.#stopping.signal);
    if (metrics !== undefined) {
      const parts = { records, registry, xenstore, guests, state: () => this.#actor.getSnapshot().value };
      running.metrics = await startMetrics(metrics, parts, this.#outlet.all$);
      emit(makeEvent('metrics.started', { to: running.metrics.url }));
    }
  }

  async #listen(): Promise<void> {
    const { controlSocket } = this.#options;
    if (controlSocket === undefined) return;
    const { registry } = this.#parts();
    await listen(this, {
      controlSocket,
      directory: this.#directory,
      isSuccessor: this.#isSuccessor,
      isNeeded: registry.entries().some(({ facts }) => registry.ownerOf(facts.sbdf) !== undefined),
      saver: this.#place.state.saver,
      onListening: (server) => (this.#running.control = server),
    });
  }

  async #hideListed(): Promise<void> {
    await waitAtMost(kernelPatience, this.#parts().host.settleStubs(), this.#stopping.signal);
    const present = allFunctions(this.inventory).map(({ sbdf }) => sbdf);
    const { functions, warnings } = functionsToHide(this.#options.hide ?? '', present);
    for (const warning of warnings) this.#emit(warning);
    const hide = (sbdf: Sbdf): Promise<unknown> => this.hide(sbdf);
    await hideAll(functions, hide, (event) => this.#emit(event), this.#stopping.signal);
  }

  async #drain(): Promise<void> {
    this.#unfollow();
    const { xenstore, lock, guests, registry, standIns } = this.#running;
    await standIns?.end();
    // With nobody to tell it to, guests are not told any more; their functions are given back all the same.
    const unheard = xenstore?.state$
      .pipe(switchMap((state) => (state === 'reconnecting' ? timer(xenstorePatience) : NEVER)))
      .subscribe(() => xenstore.close());
    try {
      if (guests && registry) await closeAll(guests, registry, (event) => this.#emit(event));
    } finally {
      unheard?.unsubscribe();
      await this.#letGo();
      if (xenstore && this.#options.platform.kind === 'loopback') {
        await endXenstored(this.#options.platform.directory);
      }
      lock?.unlock();
    }
  }

  async #abandon(): Promise<void> {
    this.#unfollow();
    await this.#running.standIns?.end();
    const { guests } = this.#running;
    if (guests) await waitAtMost(kernelPatience, guests.close());
    for (const session of guests?.sessions() ?? []) session.abandon();
    await this.#letGo();
    if (this.#running.startedXenstored && this.#options.platform.kind === 'loopback') {
      await endXenstored(this.#options.platform.directory);
    }
    this.#running.lock?.unlock();
  }

  /** For guests to come, and for this process's own death. */
  async #getReady(): Promise<void> {
    const { platform, rehearse = platform.kind === 'xen' } = this.#options;
    const { rehearsal, guests } = this.#running;
    const { standsIn } = this.#options;
    if (standsIn?.priority) setPriorityOfThreads(standsIn.priority.serving);
    // Who has taken over guests has done in earnest what would be rehearsed.
    if (rehearse && guests?.sessions().length === 0) {
      await rehearsal
        ?.ofGuest()
        .catch((error: unknown) => this.#emit(makeEvent('warning', failureDetails(error))));
    }
    await rehearsal?.end();
    if (!this.#actor.getSnapshot().matches('ready')) return;
    // It is told of before it can be given tasks.
    const onReplacement = (): void => void setImmediate(() => this.#rehearseReplacement());
    if (rehearse) this.#running.pool?.on('workerCreate', onReplacement);
    this.#startStandIn();
  }

  #rehearseReplacement(): void {
    const { pool } = this.#running;
    if (!pool || !this.#actor.getSnapshot().matches('ready')) return;
    rehearseReplacement(pool, this.#where, this.#place).catch((error: unknown) => {
      // It may have died as well, or all of it come to its end: it has only been a rehearsal.
      if (this.#actor.getSnapshot().matches('ready')) this.#emit(makeEvent('warning', failureDetails(error)));
    });
  }

  #startStandIn(): void {
    const { standIn } = this.#options;
    if (!standIn) return;
    const succession = this.#succession ?? reignFrom(uptime(), undefined);
    this.#running.standIns = new StandIns(standIn, succession, (event) => this.#emit(event));
    this.#running.standIns.begin();
  }

  get #hasTakenOver(): boolean {
    return this.#options.standsIn !== undefined && this.#running.guests !== undefined;
  }

  #unfollow(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  async #letGo(): Promise<void> {
    const { pool, xenstore, platform, records, control, metrics, rehearsal } = this.#running;
    control?.close();
    metrics?.close();
    await rehearsal?.end();
    await pool?.destroy();
    this.#place.state.saver.close();
    records?.close();
    xenstore?.close();
    platform?.close();
  }

  #parts(): Required<Pick<Running, 'platform' | 'xenstore' | 'registry' | 'records' | 'host' | 'guests'>> {
    const { platform, xenstore, registry, records, host, guests } = this.#running;
    if (platform && xenstore && registry && records && host && guests) {
      return { platform, xenstore, registry, records, host, guests };
    }
    throw notRunning();
  }

  #emit(event: BackendEvent): void {
    this.#outlet.emit(event);
  }
}

const notRunning = (): PcibackError =>
  new PcibackError('NO-DAEMON', 'the back-end is not running', 'start it first');

const stopped = (): PcibackError =>
  new PcibackError('STOPPED', 'the back-end was stopped, or started before', 'make a new one to start again');
