import type { Piscina } from 'piscina';
import type { GuestTask } from '../../workers/messages.ts';
import type { Platform, PlatformOptions } from '../host/platform.ts';
import type { BackendEvent } from '../monitor/events.ts';
import type { BridgeMap, TopologyKind } from '../topology/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import type { GuestWorker } from './guest-worker.ts';
import type { HostFunctions } from './host-functions.ts';
import type { Registry } from './registry.ts';
import type { ServedRing } from './resume.ts';
import type { Pauses } from './pause.ts';
import type { FileStore } from './store.ts';

/** What the session of a guest shares with the daemon it belongs to. */
export interface SessionHost {
  readonly xenstore: XenstoreClient;
  readonly registry: Registry;
  readonly pool: Piscina<GuestTask, void>;
  readonly platform: Platform;
  /** How workers open the platform. */
  readonly where: PlatformOptions;
  /** Takes functions that a toolstack has listed from where it keeps them, and knows which ones can be kept apart. */
  readonly host: Pick<HostFunctions, 'hideListed' | 'requireHeld' | 'requireIsolated'>;
  readonly topology: TopologyKind;
  readonly bridges: () => BridgeMap;
  /** By domain, for a successor when this process is killed. */
  readonly rings: FileStore<ServedRing>;
  /** Guests that were stopped for the moment of a takeover, for a successor when this process is killed in it. */
  readonly pauses: Pauses;
  /** Workers that go on with guests of a predecessor, until the sessions of these take them over. */
  readonly resumed: Map<number, GuestWorker>;
  readonly emit: (event: BackendEvent) => void;
}
