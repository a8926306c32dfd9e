/** What serves guests once it is its turn: who has which function, and a session for every guest. */
import { join } from 'node:path';
import type { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import { allFunctions, type Inventory, type Platform, type PlatformOptions } from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { BridgeMap, type TopologyKind } from '../topology/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import type { GuestWorker } from './guest-worker.ts';
import { Guests } from './guests.ts';
import { HostFunctions } from './host-functions.ts';
import { Records } from './records.ts';
import { Registry } from './registry.ts';
import { type ServedRing, resumeGuests, ringStore } from './resume.ts';
import type { FileStore } from './store.ts';

/** What it works with. */
export interface EngineParts {
  readonly platform: Platform;
  readonly pool: Piscina<WorkerTask, void>;
  readonly xenstore: XenstoreClient;
  readonly inventory: Inventory;
}

export interface EngineOptions {
  /** How workers open the platform. */
  readonly where: PlatformOptions;
  readonly stateDirectory: string;
  readonly topology: TopologyKind;
  /** Whether guests that come are to be served. */
  readonly isReady: () => boolean;
  readonly emit: (event: BackendEvent) => void;
}

export interface Engine {
  readonly registry: Registry;
  readonly records: Records;
  readonly host: HostFunctions;
  readonly guests: Guests;
}

/** What a predecessor has left. */
export interface Inheritance {
  readonly registry: Registry;
  readonly rings: FileStore<ServedRing>;
  /** Workers that go on with its guests. */
  readonly resumed: Map<number, GuestWorker>;
}

/** Reads what a predecessor has left, and has its guests served again. Throws BAD-DIRECTORY. */
export function inherit(
  { platform, pool }: Pick<EngineParts, 'platform' | 'pool'>,
  { where, stateDirectory, emit }: Pick<EngineOptions, 'where' | 'stateDirectory' | 'emit'>,
): Inheritance {
  const registry = new Registry(join(stateDirectory, 'function'), (key, error) =>
    emit(makeEvent('warning', { ...failureDetails(error), message: `${key} cannot be read and is ignored` })),
  );
  const rings = ringStore(join(stateDirectory, 'ring'));
  const served = rings.load((key) => rings.delete(key));
  for (const { localPort } of served.values()) platform.discardPort(localPort);
  return { registry, rings, resumed: resumeGuests({ pool, where, registry, rings, emit }, served) };
}

/** Nobody is looked after before `guests` is asked to attend to somebody. */
export function openEngine(
  { platform, pool, xenstore, inventory }: EngineParts,
  { registry, rings, resumed }: Inheritance,
  { where, topology, isReady, emit }: EngineOptions,
): Engine {
  const host = new HostFunctions({ platform, registry, xenstore, emit }, inventory);
  const bridges = (): BridgeMap => new BridgeMap(allFunctions(host.inventory));
  const guests = new Guests(
    { xenstore, registry, host, platform, pool, rings, resumed, where, topology, bridges, emit },
    isReady,
  );
  return { registry, records: new Records(platform, registry), host, guests };
}
