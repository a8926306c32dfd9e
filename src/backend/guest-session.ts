/**
 * One guest, from the moment its directory appears until its functions are hidden again: the machine of `machines/guest.ts`,
 * fed with what xenstore says and with what becomes of its effects.
 */
import { Subject, type Subscription, firstValueFrom, filter, merge } from 'rxjs';
import { type Actor, createActor, fromPromise, waitFor } from 'xstate';
import { type Adopted, type GuestContext, type Settled, guestMachine } from '../../machines/guest.ts';
import type { Sbdf } from '../address.ts';
import type { FilterMode } from '../config-space/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import { type GuestView, xenbusStateName } from '../xenbus/index.ts';
import { ConnectionLost, reconcile } from '../xenstore/index.ts';
import { collectSoon } from './garbage.ts';
import { GuestEffects } from './guest-effects.ts';
import { GuestFunctions } from './guest-functions.ts';
import { GuestService, type Loss } from './guest-service.ts';
import type { SessionHost } from './session-host.ts';
import {
  type PendingWait,
  WaitClock,
  isReachedByDeviceModel,
  reachedByDeviceModel,
  waitOf,
} from './waits.ts';

export class GuestSession {
  readonly domid: number;
  /** Resolves when every function of the guest is hidden or quarantined, or the guest somebody else's, and the worker is gone. */
  readonly released: Promise<void>;
  readonly #host: SessionHost;
  readonly #actor: Actor<typeof guestMachine>;
  readonly #service: GuestService;
  readonly #functions: GuestFunctions;
  readonly #effects: GuestEffects;
  #isHandedOver = false;
  #underWay: Promise<unknown> = Promise.resolve();
  readonly #doorbell = new Subject<void>();
  /** Something else than the front-end's state may have changed since somebody looked. */
  #backendRang = false;
  readonly #subscription: Subscription;
  readonly #waits = new WaitClock();
  /** Emits when the daemon ends. */
  readonly #stops = new Subject<'stopping'>();

  constructor(shared: SessionHost, domid: number, first: GuestView) {
    // Whatever is told of in here is charged to this guest.
    const host = { ...shared, emit: (event: BackendEvent) => shared.emit({ ...event, domid }) };
    this.#host = host;
    this.domid = domid;
    this.#service = new GuestService(host, domid, (loss) => this.#lose(loss));
    this.#functions = new GuestFunctions(host, domid, () => this.#service.worker(), this.#service.domain);
    this.#effects = new GuestEffects(host, domid, first, this.#service, this.#functions);
    this.#actor = createActor(this.#machine(), { input: { domid, view: this.#effects.first } });
    this.#service.begin();
    this.released = this.#run();
    const warn = (error: unknown): void => this.#warn(error);
    this.#subscription = reconcile(
      merge(this.#doorbell, host.xenstore.watch(`${first.frontendPath}/state`)),
      () => this.#observe(),
      warn,
    ).subscribe({ error: warn });
  }

  /** Something in the back-end directory may have changed. */
  ring(): void {
    this.#backendRang = true;
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
    this.#service.fence.close();
    this.#subscription.unsubscribe();
    this.#actor.stop();
    this.#service.abandon();
  }

  /**
   * Lets go of the guest for another session of this daemon, or for another back-end, which finds it as after a crash: from here on
   * nothing is written and no function is touched. Resolves when nothing is under way any more.
   */
  async handOver(): Promise<void> {
    this.#isHandedOver = true;
    this.#service.fence.close();
    if (this.#actor.getSnapshot().status === 'active') this.#actor.send({ type: 'handedOver' });
    this.#stops.next('stopping');
    await this.released;
  }

  /** Whether the session has ended by itself because the kernel's own back-end has the guest. */
  get isLeft(): boolean {
    return this.state === 'left' && !this.#isHandedOver;
  }

  /** Trusts the guest further with a function that it has, from its next request on. */
  async trust(sbdf: Sbdf, mode: FilterMode): Promise<void> {
    await this.#functions.trust(sbdf, mode);
  }

  /** Checks that all of these have a place on the guest's bus. Throws BRIDGE or NO-SLOT. */
  requirePlaces(wanted: Parameters<GuestFunctions['requirePlaces']>[0]): void {
    this.#functions.requirePlaces(wanted);
  }

  /** Ends the guest's worker thread; see `PciBackend.killWorker`. */
  async killWorker(): Promise<void> {
    await this.#service.kill();
  }

  /** Resolves when the session is not (or no longer) taking over from a predecessor. */
  async settled(): Promise<void> {
    await waitFor(this.#actor, (snapshot) => !snapshot.matches('adopting'), { timeout: Infinity });
  }

  get state(): string {
    return this.#actor.getSnapshot().value;
  }

  /** What the guest's next step depends on, and since when; null when nothing is outstanding. */
  get wait(): PendingWait | null {
    return this.#functions.wait ?? this.#waits.pending;
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
    const effects = this.#effects;
    const settling = (run: (context: GuestContext) => Promise<void>) =>
      fromPromise<Settled, GuestContext>(({ input }) =>
        this.#persistently(async () => {
          await run(input);
          return effects.settled();
        }),
      );
    return guestMachine.provide({
      actors: {
        announce: settling(() => effects.announce()),
        exportFunctions: settling((context) => effects.exportFunctions(context)),
        adopt: fromPromise<Adopted, GuestContext>(({ input }) =>
          this.#persistently(() => effects.adopt(input)),
        ),
        connect: settling((context) => effects.connect(context)),
        reconfigure: settling(() => effects.reconfigure()),
        resume: settling(() => effects.resume()),
        restart: settling(() => effects.restart()),
        disconnect: settling((context) => effects.disconnect(context)),
        close: settling(() => effects.close()),
        release: settling(() => effects.release()),
        fail: settling((context) => effects.fail(context)),
      },
    });
  }

  async #run(): Promise<void> {
    let state = 'absent';
    const over = new Promise<void>((resolve) => {
      this.#actor.subscribe({
        next: (snapshot) => {
          this.#waits.note(waitOf(snapshot.value, snapshot.context));
          const from = state;
          state = snapshot.value;
          if (state === from) return;
          this.#emitState(from, state, snapshot.context);
          // The next step is the front-end's, and it will wait for ours.
          if (state === 'initialised') collectSoon();
        },
        complete: resolve,
        error: (error: unknown) => {
          this.#warn(error);
          resolve();
        },
      });
    });
    this.#actor.start();
    await over;
    this.#subscription.unsubscribe();
    await this.#effects.dismissWorker();
    // An effect that the guest was taken away from comes to its end by the fence.
    await this.#underWay;
  }

  #emitState(from: string, to: string, { failure, view }: GuestContext): void {
    const failed = to === 'failing' && failure !== null;
    const emulated = to === 'initialised' && isReachedByDeviceModel(view);
    this.#host.emit(
      makeEvent('guest.state', {
        domid: this.domid,
        from,
        to,
        cause: `front-end ${xenbusStateName(view.frontendState)}`,
        ...(failed ? { reason: failure.reason, message: failure.message } : {}),
        ...(emulated ? { message: reachedByDeviceModel, data: { reachedBy: 'device model' } } : {}),
      }),
    );
  }

  #warn(error: unknown): void {
    this.#host.emit(makeEvent('warning', { domid: this.domid, ...failureDetails(error) }));
  }

  async #observe(): Promise<void> {
    const whole = this.#backendRang;
    this.#backendRang = false;
    const view = await (whole ? this.#effects.view() : this.#effects.viewOfFrontend()).catch(
      (error: unknown) => {
        this.#backendRang ||= whole;
        throw error;
      },
    );
    if (this.#actor.getSnapshot().status === 'active') this.#actor.send({ type: 'observed', view });
  }

  #lose(loss: Loss): void {
    if (loss === 'workerDied') this.#functions.workerLost();
    this.#actor.send({ type: loss });
  }

  /** Runs an effect, and again when xenstored went away in the middle of it: every effect may be repeated from its start. */
  #persistently<T>(run: () => Promise<T>): Promise<T> {
    const running = this.#repeatedly(run);
    this.#underWay = running.catch(() => undefined);
    return running;
  }

  async #repeatedly<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        this.#service.fence.check();
        return await run();
      } catch (error) {
        // A daemon that ends does not wait for xenstored: functions can be reset and given back without it.
        if (!(error instanceof ConnectionLost) || this.#actor.getSnapshot().context.stopping) throw error;
        const back = this.#host.xenstore.state$.pipe(filter((now) => now !== 'reconnecting'));
        const state = await firstValueFrom(merge(back, this.#stops));
        if (state !== 'connected') throw error;
      }
    }
  }
}
