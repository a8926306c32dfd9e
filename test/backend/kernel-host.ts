/** A host on which the kernel's back-end serves guests, played by hand, and the guests of a daemon on it. */
import { onTestFinished } from 'vitest';
import { Guests } from '../../src/backend/guests.ts';
import { seize } from '../../src/config-space/index.ts';
import { LoopbackPlatform, ModelFault, openModel } from '../../src/host/index.ts';
import type { FunctionFacts } from '../../src/host/index.ts';
import { XenbusState, backendPath, frontendPath } from '../../src/xenbus/index.ts';
import { type Sbdf, formatSbdf } from '../../src/address.ts';
import { captured } from '../host/support/functions.ts';
import { Loopback } from '../toolstack/loopback.ts';
import { sessionHost } from './session-host.ts';

export const nic: FunctionFacts = { ...captured('8086:10d3'), resetMethods: ['flr'] };

/** Something that the test makes happen. */
export function later() {
  let resolve: (value: void | Promise<void>) => void = () => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

export class KernelPlatform extends LoopbackPlatform {
  /** What was done to guests and to the kernel, in order. */
  readonly done: string[] = [];
  readonly serves = new Set<number>();
  readonly knows = new Set<number>();
  isLoaded = false;
  seconds = 0;
  /** What the kernel does before its driver is unbound. */
  letGo: (domid: number) => Promise<void> = async () => {};
  bound: Promise<void> = Promise.resolve();
  /** Told of what is asked here. */
  onPause: (isPaused: boolean) => void = () => undefined;
  onLook: () => void = () => undefined;

  override kernelBinds(): boolean {
    return this.isLoaded;
  }

  override awaitKernel(): Promise<void> {
    return this.bound;
  }

  override kernelServes(domid = 0): boolean {
    this.onLook();
    return this.serves.has(domid);
  }

  override kernelKnows(domid = 0): boolean {
    return this.knows.has(domid);
  }

  override processorSeconds(): number {
    return this.seconds;
  }

  override pauseDomain(domid = 0, pause = true): void {
    this.done.push(`${pause ? 'pause' : 'unpause'} ${domid}`);
    this.onPause(pause);
  }

  override async takeFromKernel(domid = 0): Promise<void> {
    await this.letGo(domid);
    this.serves.delete(domid);
    this.done.push(`unbind ${domid}`);
  }
}

export async function kernelHost() {
  const loopback = await Loopback.start();
  const { directory, store } = loopback;
  const platform = new KernelPlatform(directory);
  platform.letGo = (domid) => loopback.setState(backendPath(domid), XenbusState.Closed);
  const { host: shared, events } = sessionHost(loopback, platform);
  let isReady = true;
  const guests = new Guests(shared, () => isReady);
  onTestFinished(async () => {
    isReady = false;
    await guests.close();
    await Promise.all(guests.sessions().map((session) => session.handOver()));
    platform.close();
  });
  return {
    loopback,
    platform,
    guests,
    shared,
    registry: shared.registry,
    /** A guest whose directories are new, with the function listed if it is one of ours. */
    begin: async (domid: number, frontend: XenbusState, sbdf?: Sbdf): Promise<void> => {
      await loopback.createDomain(domid);
      await store.write(`${backendPath(domid)}/frontend`, frontendPath(domid));
      await store.write(`${backendPath(domid)}/online`, '1');
      if (sbdf !== undefined) {
        await store.write(`${backendPath(domid)}/dev-0`, formatSbdf(sbdf));
        await store.write(`${backendPath(domid)}/state-0`, '1');
        await store.write(`${backendPath(domid)}/num_devs`, '1');
      }
      await loopback.setState(frontendPath(domid), frontend);
      await loopback.setState(backendPath(domid), XenbusState.Initialising);
    },
    hide: async (facts: FunctionFacts): Promise<void> => {
      const taken = await platform.takeFromHost(facts);
      const hardware = platform.openFunction(facts.sbdf);
      shared.registry.add(taken, seize(hardware, facts));
      hardware.close();
    },
    breakReset: (): void => {
      const model = openModel(directory, nic.sbdf);
      model.faults = ModelFault.resetFails;
      model.close();
    },
    told: (type: string) => events.filter((event) => event.type === type),
    events,
    /** Writes that were asked for through this host's connection. */
    writes: (): number => store.counters.requests['WRITE'] ?? 0,
  };
}
