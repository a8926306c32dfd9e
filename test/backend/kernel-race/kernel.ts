/**
 * The kernel's back-end as a xenstore client sees it: the bus of back-ends (Linux drivers/xen/xenbus/xenbus_probe.c) and
 * xen-pciback (drivers/xen/xen-pciback/xenbus.c), each thing that the world could see between two of which being a step.
 */
import { XenbusState } from '../../../src/xenbus/index.ts';
import type { Nodes } from './nodes.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

type Phase = 'absent' | 'seen' | 'driverless' | 'bound' | 'serving' | 'unbinding' | 'unregistering';

export class Kernel {
  isLoaded: boolean;
  phase: Phase = 'absent';
  readonly #nodes: Nodes;
  readonly #backend: string;
  readonly #frontend: string;
  /** The driver was unbound from this device, and binds to it no more. */
  #wasUnbound = false;
  #isConnected = false;
  #onBound: (() => void)[] = [];
  #onUnbound: () => void = () => undefined;

  constructor(nodes: Nodes, backend: string, frontend: string, isLoaded: boolean) {
    this.#nodes = nodes;
    this.#backend = backend;
    this.#frontend = frontend;
    this.isLoaded = isLoaded;
  }

  /** The driver's link is in sysfs: made before the driver hears of it, removed before the driver lets go. */
  get isBound(): boolean {
    return this.phase === 'bound' || this.phase === 'serving';
  }

  /** It may still write, and has functions in hand. */
  get isAtWork(): boolean {
    return this.isBound || this.phase === 'unbinding' || (this.phase === 'unregistering' && this.#wasBound);
  }

  get hasDevice(): boolean {
    return this.phase !== 'absent' && this.phase !== 'seen';
  }

  /** It has mapped the guest's page. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  #wasBound = false;

  /** Resolves when the driver has bound, or nothing is there to bind to. */
  bound(): Promise<void> {
    return this.isBound ? Promise.resolve() : new Promise((resolve) => this.#onBound.push(resolve));
  }

  /** A write to `unbind` in sysfs; it returns when the driver has let go. */
  unbind(): Promise<void> {
    if (!this.isBound) return Promise.resolve();
    this.phase = 'unbinding';
    return new Promise((resolve) => (this.#onUnbound = resolve));
  }

  /** What it could do now, by name. */
  steps(): Record<string, () => void> {
    const state = this.#nodes.state(this.#backend);
    const front = this.#nodes.state(this.#frontend);
    const isThere = this.#nodes.exists(this.#backend);
    switch (this.phase) {
      case 'absent':
        return state === Initialising ? { 'kernel sees the directory': () => (this.phase = 'seen') } : {};
      case 'seen':
        return { 'kernel makes the device': () => this.#register() };
      case 'driverless':
        if (!isThere) return { 'kernel removes the device': () => this.#unregister() };
        if (this.isLoaded || this.#wasUnbound) return {};
        return { 'the driver is loaded': () => this.#load() };
      case 'bound':
        return { 'kernel says InitWait': () => this.#say(InitWait, 'serving') };
      case 'unbinding':
        return { 'kernel has let go': () => this.#letGo() };
      case 'unregistering':
        return { 'kernel has removed the device': () => this.#forget() };
      case 'serving':
        if (!isThere || front === 0) return { 'kernel removes the device': () => this.#unregister() };
        return this.#serve(state, front);
    }
  }

  #serve(state: number, front: number): Record<string, () => void> {
    if (state === InitWait) return { 'kernel exports': () => this.#export() };
    if (state === Initialised && front === Initialised) {
      return { 'kernel connects': () => ((this.#isConnected = true), this.#say(Connected)) };
    }
    if (state === Reconfiguring && front === Reconfiguring)
      return { 'kernel reconfigures': () => this.#say(Reconfigured) };
    if (state === Reconfigured && front === Connected)
      return { 'kernel resumes': () => this.#say(Connected) };
    if (front === Closing && state !== Closing) return { 'kernel closes': () => this.#close(Closing) };
    if (front === Closed && state !== Closed) return { 'kernel is closed': () => this.#close(Closed) };
    return {};
  }

  #register(): void {
    this.phase = 'driverless';
    this.#wasUnbound = false;
    if (this.isLoaded) this.#bind();
  }

  #load(): void {
    this.isLoaded = true;
    this.#bind();
  }

  #bind(): void {
    this.phase = 'bound';
    this.#wasBound = true;
    for (const resolve of this.#onBound.splice(0)) resolve();
  }

  #say(state: number, phase = this.phase): void {
    // A directory that has gone is not made anew (xenbus_client.c, __xenbus_switch_state).
    if (this.#nodes.exists(`${this.#backend}/state`)) this.#nodes.write(`${this.#backend}/state`, state);
    this.phase = phase;
  }

  #export(): void {
    if (this.#nodes.exists(`${this.#backend}/dev-0`)) {
      this.#nodes.write(`${this.#backend}/vdev-0`, '0000:00:00.00');
      this.#nodes.write(`${this.#backend}/state-0`, Initialised);
      this.#nodes.write(`${this.#backend}/root-0`, '0000:00');
      this.#nodes.write(`${this.#backend}/root_num`, 1);
    }
    this.#say(Initialised);
  }

  #close(state: number): void {
    this.#isConnected = false;
    this.#say(state);
  }

  #letGo(): void {
    this.#isConnected = false;
    this.#wasBound = false;
    this.#wasUnbound = true;
    this.#say(Closed, 'driverless');
    this.#onUnbound();
  }

  #unregister(): void {
    this.phase = 'unregistering';
  }

  #forget(): void {
    this.#isConnected = false;
    if (this.#wasBound) this.#say(Closed);
    this.#wasBound = false;
    this.phase = 'absent';
  }
}
