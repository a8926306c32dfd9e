/**
 * A toolstack, the kernel's back-end, a front-end and our daemon around one store. The daemon is the real one but for its threads. All of
 * them move one at a time, and a test says who: what the daemon asks of xenstored waits until it is the daemon's turn.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Subscription } from 'rxjs';
import { formatSbdf } from '../../../src/address.ts';
import { follow } from '../../../src/backend/follow.ts';
import { Guests } from '../../../src/backend/guests.ts';
import { pauseStore } from '../../../src/backend/pause.ts';
import { Registry, stateOf } from '../../../src/backend/registry.ts';
import { ringStore } from '../../../src/backend/resume.ts';
import { seize } from '../../../src/config-space/index.ts';
import { LoopbackPlatform } from '../../../src/host/index.ts';
import type { DomainState, FunctionFacts, HostFunction } from '../../../src/host/platform.ts';
import type { BackendEvent } from '../../../src/monitor/index.ts';
import { BridgeMap } from '../../../src/topology/index.ts';
import { XenbusState, backendPath, claimPath, frontendPath } from '../../../src/xenbus/index.ts';
import { XenstoreClient } from '../../../src/xenstore/index.ts';
import { captured } from '../../host/support/functions.ts';
import { Frontend, type FrontendKind } from './front-end.ts';
import { Kernel } from './kernel.ts';
import { Nodes } from './nodes.ts';
import { threads } from './threads.ts';
import { Wire } from './wire.ts';

export const domid = 5;
export const nic: FunctionFacts = { ...captured('8086:10d3'), resetMethods: ['pm'] };
const [backend, frontend] = [backendPath(domid), frontendPath(domid)];

export interface Scene {
  readonly frontend: FrontendKind;
  /** The kernel's driver is there from the start, or is loaded at any time once the kernel knows the device. */
  readonly driver: 'loaded' | 'late';
  /** The guest has been at work for long. */
  readonly isOld: boolean;
  /** What the toolstack does when everybody rests: one after the other. */
  readonly toolstack: readonly ('create' | 'destroy' | 'detach')[];
}

/** Who moves next: one of these is chosen. The daemon is the first of them, if it can move. */
export type Choose = (names: readonly string[]) => number;

/** No scene takes that many steps. */
const mostSteps = 600;

export class World {
  readonly scene: Scene;
  readonly nodes: Nodes;
  readonly kernel: Kernel;
  readonly frontend: Frontend;
  readonly platform: WorldPlatform;
  readonly registry: Registry;
  readonly guests: Guests;
  readonly events: BackendEvent[] = [];
  /** Who moved, and what must not have happened. */
  readonly trace: string[] = [];
  readonly violations: string[] = [];
  isAlive = false;
  readonly #wire: Wire;
  readonly #xenstore: XenstoreClient;
  readonly #subscriptions: Subscription[] = [];
  #hasRing = false;
  #moves = 0;
  #isToUnclaim = false;
  #retries = 0;
  #todo: Scene['toolstack'];

  static async begin(directory: string, platform: WorldPlatform, scene: Scene): Promise<World> {
    const wire = new Wire();
    return new World(
      directory,
      platform,
      scene,
      wire,
      await XenstoreClient.connect({ transport: wire.open }),
    );
  }

  private constructor(
    directory: string,
    platform: WorldPlatform,
    scene: Scene,
    wire: Wire,
    xenstore: XenstoreClient,
  ) {
    this.scene = scene;
    this.#wire = wire;
    this.#xenstore = xenstore;
    this.#todo = scene.toolstack;
    this.nodes = new Nodes(wire.setting);
    this.kernel = new Kernel(this.nodes, backend, frontend, scene.driver === 'loaded');
    this.frontend = new Frontend(this.nodes, backend, frontend, scene.frontend);
    this.platform = platform;
    platform.world = this;
    platform.pauses = 0;
    wire.onChange = (when) => this.#requireOurs(when);
    mkdirSync(directory);
    this.registry = new Registry(join(directory, 'function'), () => {});
    this.#hide();
    this.guests = new Guests(
      {
        xenstore,
        registry: this.registry,
        pool: threads({
          touched: (what) => this.touched(what),
          ring: (has) => (this.#hasRing = has),
          moved: () => this.#moves++,
        }),
        platform,
        where: { kind: 'loopback', directory },
        host: {
          hideListed: async () => this.touched('hideListed'),
          requireIsolated: () => {},
          requireHeld: () => {},
        },
        topology: 'vpci',
        bridges: () => new BridgeMap([]),
        rings: ringStore(join(directory, 'ring')),
        pauses: pauseStore(join(directory, 'paused')),
        resumed: new Map(),
        emit: (event) => this.events.push(event),
      },
      () => true,
    );
  }

  /** Plays until nobody can move any more. */
  async play(choose: Choose): Promise<void> {
    void follow(this.#xenstore, this.guests, this.#subscriptions, (error) =>
      this.violations.push(String(error)),
    );
    for (let step = 0; step < mostSteps; step++) {
      await this.#settle();
      const steps = this.#steps();
      const names = Object.keys(steps);
      if (names.length === 0) return;
      const name = names[names.length === 1 ? 0 : choose(names)] ?? names[0] ?? '';
      this.trace.push(name);
      steps[name]?.();
      this.#look();
    }
    this.violations.push('it does not end');
  }

  async end(): Promise<void> {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    // From here on everything is let through.
    const pumping = setInterval(() => this.#wire.deliver(), 0);
    await this.guests.close();
    await Promise.all(this.guests.sessions().map((session) => session.handOver()));
    this.#xenstore.close();
    clearInterval(pumping);
  }

  get functionState(): string {
    const entry = this.registry.get(nic.sbdf);
    return entry ? stateOf(entry) : 'gone';
  }

  touched(what: string): void {
    if (this.kernel.isAtWork) this.violations.push(`a function was touched beside the kernel: ${what}`);
  }

  get states(): string {
    return `${this.nodes.state(backend)} ${this.nodes.state(frontend)}`;
  }

  #steps(): Record<string, () => void> {
    const guest = this.platform.pauses > 0 ? {} : this.frontend.steps();
    const others = { ...this.kernel.steps(), ...guest, ...this.#unclaim() };
    const daemon: Record<string, () => void> = this.#wire.isHolding
      ? { daemon: () => this.#wire.deliver() }
      : {};
    const isAtRest = Object.keys({ ...daemon, ...others }).length === 0;
    return { ...daemon, ...others, ...(isAtRest ? this.#toolstack() : {}) };
  }

  /** libxl takes its claim back last, when the directories have gone. */
  #unclaim(): Record<string, () => void> {
    if (!this.#isToUnclaim) return {};
    return {
      'toolstack takes its claim back': () => {
        this.#isToUnclaim = false;
        this.nodes.remove(claimPath(nic.sbdf));
      },
    };
  }

  /** Each of it in one transaction, as libxl does it. */
  #toolstack(): Record<string, () => void> {
    // A kernel that lets go says nothing: the daemon looks from time to time.
    if (this.guests.kernelGuests().size > 0 && !this.kernel.isBound) {
      return { 'daemon looks': () => void this.guests.attend(domid) };
    }
    const [next, ...more] = this.#todo;
    if (next === undefined) return {};
    return {
      [`toolstack: ${next}`]: () => {
        this.#todo = more;
        if (next === 'create') this.#create();
        else this.#remove(next === 'destroy');
      },
    };
  }

  #create(): void {
    this.isAlive = true;
    this.#wire.setting.become(domid, 'running');
    const { nodes } = this;
    nodes.write(claimPath(nic.sbdf), domid);
    nodes.write(`${frontend}/state`, XenbusState.Initialising);
    nodes.write(`${backend}/frontend`, frontend);
    nodes.write(`${backend}/online`, 1);
    nodes.write(`${backend}/dev-0`, formatSbdf(nic.sbdf));
    nodes.write(`${backend}/state-0`, XenbusState.Initialising);
    nodes.write(`${backend}/num_devs`, 1);
    nodes.write(`${backend}/state`, XenbusState.Initialising);
  }

  #remove(isEnd: boolean): void {
    const { nodes } = this;
    nodes.remove(frontend);
    nodes.remove(backendPath(domid).replace(/\/0$/, ''));
    this.#isToUnclaim = true;
    if (!isEnd) return;
    this.isAlive = false;
    this.#wire.setting.become(domid, undefined);
  }

  /** Until the daemon waits for xenstored, for the kernel, or for something to happen. */
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      const before = this.#moves + this.#wire.sent;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#moves + this.#wire.sent !== before) quiet = -1;
      if (quiet < 2) continue;
      // A transaction that came to nothing is begun again a moment later.
      const retries = this.#xenstore.counters.transactionRetries;
      if (retries === this.#retries) return;
      const { sent } = this.#wire;
      while (this.#wire.sent === sent) await new Promise((resolve) => setTimeout(resolve, 1));
      this.#retries = retries;
      quiet = -1;
    }
  }

  #requireOurs(when: 'sent' | 'done'): void {
    // A driver that is loaded just then may overtake what is on its way.
    if (when === 'done' && this.scene.driver === 'late') return;
    if (this.kernel.isAtWork) this.violations.push(`the daemon wrote beside the kernel (${when})`);
  }

  #look(): void {
    if (this.#hasRing && this.kernel.isConnected) this.violations.push('two back-ends have the page');
  }

  #hide(): void {
    const hardware = this.platform.openFunction(nic.sbdf);
    this.registry.add({ facts: nic, former: null, wasDriven: false }, seize(hardware, nic));
    hardware.close();
  }
}

export class WorldPlatform extends LoopbackPlatform {
  world: World | undefined;
  pauses = 0;

  override kernelBinds(): boolean {
    return this.world?.kernel.isLoaded ?? false;
  }

  override kernelServes(): boolean {
    return this.world?.kernel.isBound ?? false;
  }

  override kernelKnows(): boolean {
    return this.world?.kernel.hasDevice ?? false;
  }

  override async awaitKernel(): Promise<void> {
    await this.world?.kernel.bound();
  }

  override processorSeconds(): number {
    return this.world?.scene.isOld ? 100 : 0;
  }

  override domainState(): DomainState {
    return this.world?.isAlive ? 'running' : 'absent';
  }

  override async takeFromKernel(): Promise<void> {
    await this.world?.kernel.unbind();
  }

  override pauseDomain(_?: number, pause = true): void {
    this.pauses += pause ? 1 : -1;
  }

  /** Only a reset reaches for it here. */
  override openFunction(sbdf: FunctionFacts['sbdf']): HostFunction {
    this.world?.touched('openFunction');
    return super.openFunction(sbdf);
  }
}
