import { join } from 'node:path';
import { Piscina } from 'piscina';
import { expect, onTestFinished, test } from 'vitest';
import { type Sbdf, makeSbdf } from '../../src/address.ts';
import { readGuestView } from '../../src/backend/guest-view.ts';
import { GuestSession } from '../../src/backend/guest-session.ts';
import { Registry } from '../../src/backend/registry.ts';
import type { SessionHost } from '../../src/backend/session-host.ts';
import { FileStore } from '../../src/backend/store.ts';
import { seize } from '../../src/config-space/index.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { type FunctionFacts, ensureModel, openModel, openPlatform } from '../../src/host/index.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';
import { BridgeMap } from '../../src/topology/index.ts';
import { attach, defaultPciOptions } from '../../src/toolstack/index.ts';
import { backendPath } from '../../src/xenbus/index.ts';
import type { GuestTask } from '../../workers/messages.ts';
import { Loopback } from '../toolstack/loopback.ts';

const domid = 5;
const nic = captured(makeSbdf(0, 0x41, 0, 0));

function captured(sbdf: Sbdf): FunctionFacts {
  const found = capturedFunctions().find((each) => each.sbdf === sbdf);
  if (!found) throw new Error(`there is no capture of ${sbdf}`);
  return found;
}

/** A session with its real surroundings, but for the threads. */
async function sessionOn(workers: Piscina<GuestTask, void>) {
  const loopback = await Loopback.start();
  const { directory, store } = loopback;
  ensureModel(directory, nic);
  const registry = new Registry(join(directory, 'state/function'), () => {});
  const hardware = openModel(directory, nic.sbdf);
  registry.add({ facts: nic, former: null, wasDriven: false }, seize(hardware, nic));
  const platform = openPlatform({ kind: 'loopback', directory });
  onTestFinished(() => platform.close());
  const events: BackendEvent[] = [];
  const host: SessionHost = {
    registry,
    xenstore: store,
    pool: workers,
    platform,
    where: { kind: 'loopback', directory },
    host: { hideListed: async () => {}, requireIsolated: () => {} },
    topology: 'vpci',
    bridges: () => new BridgeMap([]),
    ports: new FileStore(join(directory, 'state/port'), (value) => typeof value === 'number'),
    emit: (event) => events.push(event),
  };
  await loopback.createDomain(domid);
  const attached = attach(store, domid, [{ sbdf: nic.sbdf, devfn: 0, options: defaultPciOptions }]);
  await loopback.awaitValue(`${backendPath(domid)}/num_devs`, '1');
  const session = new GuestSession(host, domid, await readGuestView(store, platform, domid));
  return { session, events, attached };
}

test('a guest whose workers die as soon as they serve it is failed', async () => {
  const workers = new Piscina<GuestTask, void>({
    filename: join(import.meta.dirname, 'crashing-worker.mjs'),
    maxThreads: 1,
  });
  workers.on('error', () => {});
  onTestFinished(() => workers.destroy());
  const { session, events, attached } = await sessionOn(workers);
  expect(await attached).toMatchObject({
    outcome: 'refused',
    by: 'back-end',
    why: expect.stringContaining('died as soon as they served it') as string,
  });
  expect(events.filter(({ type }) => type === 'worker.died').length).toBeGreaterThan(10);
  expect(events).toContainEqual(expect.objectContaining({ to: 'failing', reason: 'CRASH-LOOP' }));
  session.abandon();
});
