/** What serves guests once it is its turn: who has which function, and a session for every guest. */
import type { Piscina } from 'piscina';
import type { WorkerTask } from '../../workers/messages.ts';
import { allFunctions, type Inventory, type Platform, type PlatformOptions } from '../host/index.ts';
import type { BackendEvent } from '../monitor/index.ts';
import { BridgeMap, type TopologyKind } from '../topology/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import type { GuestWorker } from './guest-worker.ts';
import { Guests } from './guests.ts';
import { HostFunctions } from './host-functions.ts';
import { LifeNotes } from './life-notes.ts';
import { endPauses, type Pauses, pauseStore } from './pause.ts';
import { Records } from './records.ts';
import { Registry } from './registry.ts';
import { type ServedRing, resumeGuests, ringStore, servedByUs } from './resume.ts';
import type { StateDirectory } from './state-directory.ts';
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
  readonly state: StateDirectory;
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
  readonly pauses: Pauses;
  /** Workers that go on with its guests. */
  readonly resumed: Map<number, GuestWorker>;
}

/** Reads what a predecessor has left, and has its guests served again. What cannot be read is told, and left. */
export function inherit(
  { platform, pool }: Pick<EngineParts, 'platform' | 'pool'>,
  { where, state, emit }: Pick<EngineOptions, 'where' | 'state' | 'emit'>,
): Inheritance {
  const registry = new Registry(
    state.folder('function'),
    (key, error) => state.tellDamage('function', key, error),
    { saver: state.saver, files: state.files, notes: new LifeNotes(platform, state) },
  );
  const rings = ringStore(state.folder('ring'), state);
  const served = rings.load((key, error) => state.tellDamage('ring', key, error));
  for (const { localPort } of served.values()) platform.discardPort(localPort);
  const pauses = pauseStore(state.folder('paused'), state);
  endPauses(platform, pauses, emit);
  const resumed = resumeGuests(
    { platform, pool, where, registry, rings, emit },
    servedByUs(served, platform, rings),
  );
  return { registry, rings, pauses, resumed };
}

/** Nobody is looked after before `guests` is asked to attend to somebody. */
export function openEngine(
  { platform, pool, xenstore, inventory }: EngineParts,
  { registry, rings, pauses, resumed }: Inheritance,
  { where, topology, isReady, emit }: EngineOptions,
): Engine {
  const host = new HostFunctions({ platform, registry, xenstore, emit, topology }, inventory);
  const bridges = (): BridgeMap => new BridgeMap(allFunctions(host.inventory));
  const guests = new Guests(
    { xenstore, registry, host, platform, pool, rings, pauses, resumed, where, topology, bridges, emit },
    isReady,
  );
  return { registry, records: new Records(platform, registry), host, guests };
}
