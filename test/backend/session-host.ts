import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { makePool } from '../../src/backend/pool.ts';
import { pauseStore } from '../../src/backend/pause.ts';
import { Registry } from '../../src/backend/registry.ts';
import type { SessionHost } from '../../src/backend/session-host.ts';
import { ringStore } from '../../src/backend/resume.ts';
import type { Platform } from '../../src/host/index.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { BridgeMap } from '../../src/topology/index.ts';
import type { Loopback } from '../toolstack/loopback.ts';

/** What sessions share with a daemon, but for threads that serve: every worker dies as soon as it has begun. */
export function sessionHost({ directory, store }: Loopback, platform: Platform) {
  const pool = makePool(1, join(import.meta.dirname, 'crashing-worker.mjs'));
  onTestFinished(() => pool.destroy());
  const events: BackendEvent[] = [];
  const host: SessionHost = {
    xenstore: store,
    registry: new Registry(join(directory, 'state/function'), () => {}),
    pool,
    platform,
    where: { kind: 'loopback', directory },
    host: { hideListed: async () => {}, requireHeld: () => {}, requireIsolated: () => {} },
    topology: 'vpci',
    bridges: () => new BridgeMap([]),
    rings: ringStore(join(directory, 'state/ring')),
    pauses: pauseStore(join(directory, 'state/paused')),
    resumed: new Map(),
    emit: (event) => events.push(event),
  };
  return { host, events };
}
