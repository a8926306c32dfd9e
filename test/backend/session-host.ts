import { join } from 'node:path';
import { Piscina } from 'piscina';
import { onTestFinished } from 'vitest';
import { Registry } from '../../src/backend/registry.ts';
import type { SessionHost } from '../../src/backend/session-host.ts';
import { FileStore } from '../../src/backend/store.ts';
import type { Platform } from '../../src/host/index.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { BridgeMap } from '../../src/topology/index.ts';
import type { GuestTask } from '../../workers/messages.ts';
import type { Loopback } from '../toolstack/loopback.ts';

/** What sessions share with a daemon, but for threads that serve: every worker dies as soon as it has begun. */
export function sessionHost({ directory, store }: Loopback, platform: Platform) {
  const pool = new Piscina<GuestTask, void>({
    filename: join(import.meta.dirname, 'crashing-worker.mjs'),
    minThreads: 0,
    maxThreads: 1,
  });
  pool.on('error', () => {});
  onTestFinished(() => pool.destroy());
  const events: BackendEvent[] = [];
  const host: SessionHost = {
    xenstore: store,
    registry: new Registry(join(directory, 'state/function'), () => {}),
    pool,
    platform,
    where: { kind: 'loopback', directory },
    host: { hideListed: async () => {}, requireIsolated: () => {} },
    topology: 'vpci',
    bridges: () => new BridgeMap([]),
    ports: new FileStore(join(directory, 'state/port'), (value) => typeof value === 'number'),
    emit: (event) => events.push(event),
  };
  return { host, events };
}
