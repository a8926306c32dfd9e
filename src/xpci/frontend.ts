/**
 * A front-end as its back-end knows it: the handshake over xenstore, and a bus while it is connected. It is level-triggered:
 * whatever a watch reports, it reads both states and does what the table of its variant says for that pair.
 */
import { Subject, type Observable, type Subscription } from 'rxjs';
import type { Sbdf } from '../address.ts';
import { protocolMagic } from '../ring/layout.ts';
import { parseXenbusState, XenbusState, xenbusStateName } from '../xenbus/state.ts';
import { BackendKeyError, readClosingFunctions, readFunctions, readRoots } from './backend-keys.ts';
import { GuestBus } from './bus.ts';
import { Doorbell } from './doorbell.ts';
import type { GuestFunction } from './enumerate.ts';
import type { GrantedChannel, GuestHypervisor } from './hypervisor.ts';
import { Requester } from './requests.ts';
import type { GuestStore } from './store.ts';
import type { ClosingStep, FrontendVariant, Step } from './variants/variant.ts';

export type FrontEndEvent =
  | { readonly type: 'state'; readonly state: XenbusState }
  | { readonly type: 'backend-state'; readonly state: XenbusState }
  | { readonly type: 'connected'; readonly functions: readonly GuestFunction[] }
  | { readonly type: 'added'; readonly functions: readonly GuestFunction[] }
  | { readonly type: 'removed'; readonly addresses: readonly Sbdf[] }
  /** No bus any more: the back-end closed, or the device directory is gone. */
  | { readonly type: 'disconnected' }
  /** The guest's kernel stopped for good. */
  | { readonly type: 'panic'; readonly message: string }
  /** Something that the front-end cannot get over; it went to Closing. */
  | { readonly type: 'fatal'; readonly message: string };

export interface FrontEndOptions {
  readonly store: GuestStore;
  readonly hypervisor: GuestHypervisor;
  readonly variant: FrontendVariant;
  /** What it writes as `magic`; only a test or a hostile guest wants another one. */
  readonly magic?: string;
}

/** Where a guest finds its PCI device; the path is relative to its own domain. */
const device = 'device/pci/0';
/** The xenbus core of Linux waits this long for the other end when a guest shuts down. */
const closingTimeout = 5_000;

/** The states of a back-end that expects a front-end. */
const readyForAnother = { atLeast: XenbusState.InitWait, atMost: XenbusState.Initialised };

interface Connection {
  readonly channel: GrantedChannel;
  readonly bus: GuestBus;
}

export class FrontEnd {
  readonly variant: FrontendVariant;
  readonly #store: GuestStore;
  readonly #hypervisor: GuestHypervisor;
  readonly #events = new Subject<FrontEndEvent>();
  readonly #doorbell = new Doorbell();
  readonly #loop: Promise<void>;
  #magic: string;
  #connection: Connection | null = null;
  #backendPath: string | undefined;
  #backendWatch: Subscription | undefined;
  #lastBackendState: XenbusState | undefined;
  #request: 'none' | 'close' | 'reconnect' | 'stop' = 'none';
  #panicked = false;

  constructor({ store, hypervisor, variant, magic = protocolMagic }: FrontEndOptions) {
    this.variant = variant;
    this.#store = store;
    this.#hypervisor = hypervisor;
    this.#magic = magic;
    this.#loop = this.#run();
  }

  /** Emits on the event loop, never from within a call. Completes when the front-end has stopped. */
  get events(): Observable<FrontEndEvent> {
    return this.#events;
  }

  /** The bus, from the moment on at which the page is granted. */
  get bus(): GuestBus | null {
    return this.#connection?.bus ?? null;
  }

  /** Looks for functions that are new, as an administrator of the guest can ask for at any time. */
  async rescan(): Promise<readonly GuestFunction[]> {
    return this.#connection ? this.#find(this.#connection.bus) : [];
  }

  /** The guest shuts down: closes by the steps of its variant, then stops. Resolves when that is done. */
  close(): Promise<void> {
    return this.#ask('close');
  }

  /** Stops without a word, as a guest that is killed does. */
  stop(): Promise<void> {
    return this.#ask('stop');
  }

  /** The guest loads its driver again: goes back to Initialising and begins anew, with `magic` if given. */
  reconnect(magic = this.#magic): void {
    this.#magic = magic;
    void this.#ask('reconnect');
  }

  #ask(request: 'close' | 'reconnect' | 'stop'): Promise<void> {
    this.#request = request;
    this.#doorbell.ring();
    return this.#loop;
  }

  async #run(): Promise<void> {
    const watch = this.#store
      .watch(device)
      .subscribe({ next: this.#doorbell.ring, error: this.#doorbell.ring });
    try {
      while (await this.#heedRequest()) {
        if (!this.#panicked) await this.#look();
        await this.#doorbell.wait();
      }
    } catch (error) {
      this.#emit({ type: 'fatal', message: String(error) });
    } finally {
      watch.unsubscribe();
      this.#backendWatch?.unsubscribe();
      this.#disconnect();
      this.#events.complete();
    }
  }

  /** Does what the guest itself asked for; false when that was to end. */
  async #heedRequest(): Promise<boolean> {
    const request = this.#request;
    this.#request = 'none';
    if (request === 'stop') return false;
    if (request === 'close') {
      if (this.#connection && !this.#panicked) await this.#closeOrderly(closingTimeout);
      return false;
    }
    if (request === 'reconnect') {
      this.#disconnect();
      await this.#write(XenbusState.Initialising);
      // So does a kernel that was started by another one (xenbus_reset_frontend); a back-end could miss the state otherwise.
      await this.#awaitBackend(readyForAnother, performance.now() + closingTimeout);
    }
    return true;
  }

  /** Reads both ends and acts on what they are. Whatever changes meanwhile rings the bell again. */
  async #look(): Promise<void> {
    const [own, backend] = await this.#readStates();
    if (this.#backendPath === undefined) return this.#disconnect();
    const { begins } = this.variant;
    // A device directory that says Initialising again is a new device, made after ours was removed.
    if (this.#connection && own === XenbusState.Initialising) this.#disconnect();
    if (!this.#connection) {
      const isDue = begins.own.includes(own) && begins.backend.includes(backend);
      return isDue ? this.#begin() : undefined;
    }
    const reaction = this.variant.reactions.find((row) => row.backend === backend && row.own.includes(own));
    if (!reaction) return;
    try {
      for (const step of reaction.steps) await this.#perform(step, this.#connection, backend);
      if (reaction.goesTo !== undefined && reaction.goesTo !== own) await this.#write(reaction.goesTo);
    } catch (error) {
      if (!(error instanceof BackendKeyError)) throw error;
      this.#emit({ type: 'fatal', message: error.message });
      await this.#write(XenbusState.Closing);
    }
  }

  /** Grants page and port, and publishes them. */
  async #begin(): Promise<void> {
    const { pageFlags, answerTimeout, stateWithKeys, width } = this.variant;
    const channel = this.#hypervisor.grantChannel(pageFlags, answerTimeout);
    this.#connection = { channel, bus: new GuestBus(new Requester(channel), width) };
    await this.#store.transaction(async (access) => {
      await access.write(`${device}/pci-op-ref`, String(channel.grantRef));
      await access.write(`${device}/event-channel`, String(channel.port));
      await access.write(`${device}/magic`, this.#magic);
      if (stateWithKeys) await access.write(`${device}/state`, String(XenbusState.Initialised));
    });
    if (stateWithKeys) this.#emit({ type: 'state', state: XenbusState.Initialised });
    else await this.#write(XenbusState.Initialised);
  }

  async #perform(step: Step, { bus }: Connection, backend: XenbusState): Promise<void> {
    switch (step) {
      case 'connect': {
        const functions = await this.#find(bus);
        this.#emit({ type: 'connected', functions });
        break;
      }
      case 'rescan': {
        const functions = await this.#find(bus);
        if (functions.length > 0) this.#emit({ type: 'added', functions });
        break;
      }
      case 'dropClosing': {
        const closing = await readClosingFunctions(this.#readBackend);
        const addresses = closing.filter((address) => bus.remove(address));
        if (addresses.length > 0) this.#emit({ type: 'removed', addresses });
        break;
      }
      case 'disconnect':
        this.#disconnect();
        break;
      case 'restart':
        await this.#closeOrderly(Infinity);
        break;
      case 'panic':
        this.#panicked = true;
        this.#emit({ type: 'panic', message: `bad backend state ${xenbusStateName(backend)}` });
        break;
    }
  }

  async #find(bus: GuestBus): Promise<readonly GuestFunction[]> {
    if (this.variant.discovery === 'probe') return bus.scan(await readRoots(this.#readBackend));
    const listed = await readFunctions(this.#readBackend);
    return bus.visit(listed.flatMap(({ guest }) => (guest === undefined ? [] : [guest])));
  }

  /** Writes the states of the variant's close one after the other, waiting each time for the back-end to follow. */
  async #closeOrderly(timeout: number): Promise<void> {
    const deadline = performance.now() + timeout;
    for (const { write, until } of this.variant.closing) {
      await this.#write(write);
      await this.#awaitBackend(until, deadline);
      // A device that is gone has no states, and a guest that is killed writes none.
      if (this.#backendPath === undefined || this.#request === 'stop') return this.#disconnect();
    }
    for (const key of this.variant.removesOnClose) await this.#store.rm(`${device}/${key}`);
    this.#disconnect();
  }

  /** Waits until the back-end's state is in the range, the device is gone, the guest wants something else, or time is over. */
  async #awaitBackend({ atLeast, atMost }: ClosingStep['until'], deadline: number): Promise<void> {
    for (;;) {
      const [, backend] = await this.#readStates();
      const isThere = backend >= atLeast && backend <= atMost;
      if (isThere || this.#backendPath === undefined || this.#request !== 'none') return;
      if (performance.now() >= deadline) return;
      await this.#doorbell.wait(deadline - performance.now());
    }
  }

  /** The states of both ends. Keeps the watch on the back-end's where the device directory says it is. */
  async #readStates(): Promise<readonly [own: XenbusState, backend: XenbusState]> {
    const path = await this.#store.read(`${device}/backend`);
    if (path !== this.#backendPath) {
      this.#backendWatch?.unsubscribe();
      this.#backendPath = path;
      this.#backendWatch =
        path === undefined
          ? undefined
          : this.#store
              .watch(`${path}/state`)
              .subscribe({ next: this.#doorbell.ring, error: this.#doorbell.ring });
    }
    if (path === undefined) return [XenbusState.Unknown, XenbusState.Unknown];
    const [own, backend] = await Promise.all([
      this.#store.read(`${device}/state`),
      this.#store.read(`${path}/state`),
    ]);
    const backendState = parseXenbusState(backend);
    if (backendState !== this.#lastBackendState) this.#emit({ type: 'backend-state', state: backendState });
    this.#lastBackendState = backendState;
    return [parseXenbusState(own), backendState];
  }

  readonly #readBackend = (key: string): Promise<string | undefined> =>
    this.#store.read(`${this.#backendPath ?? ''}/${key}`);

  async #write(state: XenbusState): Promise<void> {
    await this.#store.write(`${device}/state`, String(state));
    this.#emit({ type: 'state', state });
  }

  #disconnect(): void {
    if (!this.#connection) return;
    this.#connection.channel.close();
    this.#connection = null;
    this.#emit({ type: 'disconnected' });
  }

  #emit(event: FrontEndEvent): void {
    this.#events.next(event);
  }
}
