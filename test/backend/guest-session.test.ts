import { expect, onTestFinished, test } from 'vitest';
import { type Sbdf, makeSbdf } from '../../src/address.ts';
import { readGuestView } from '../../src/backend/guest-view.ts';
import { GuestSession } from '../../src/backend/guest-session.ts';
import { seize } from '../../src/config-space/index.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { type FunctionFacts, ensureModel, openModel, openPlatform } from '../../src/host/index.ts';
import { attach, defaultPciOptions } from '../../src/toolstack/index.ts';
import { backendPath } from '../../src/xenbus/index.ts';
import { Loopback } from '../toolstack/loopback.ts';
import { sessionHost } from './session-host.ts';

const domid = 5;
const nic = captured(makeSbdf(0, 0x41, 0, 0));

function captured(sbdf: Sbdf): FunctionFacts {
  const found = capturedFunctions().find((each) => each.sbdf === sbdf);
  if (!found) throw new Error(`there is no capture of ${sbdf}`);
  return found;
}

/** A session with its real surroundings, but for workers that live. */
async function begin() {
  const loopback = await Loopback.start();
  const { directory, store } = loopback;
  ensureModel(directory, nic);
  const platform = openPlatform({ kind: 'loopback', directory });
  const { host, events } = sessionHost(loopback, platform);
  onTestFinished(() => platform.close());
  const hardware = openModel(directory, nic.sbdf);
  host.registry.add({ facts: nic, former: null, wasDriven: false }, seize(hardware, nic));
  await loopback.createDomain(domid);
  const attached = attach(store, domid, [{ sbdf: nic.sbdf, devfn: 0, options: defaultPciOptions }]);
  await loopback.awaitValue(`${backendPath(domid)}/num_devs`, '1');
  const session = new GuestSession(host, domid, await readGuestView(store, platform, domid));
  return { session, events, attached };
}

test('a guest whose workers die as soon as they serve it is failed', async () => {
  const { session, events, attached } = await begin();
  expect(await attached).toMatchObject({
    outcome: 'refused',
    by: 'back-end',
    why: expect.stringContaining('died as soon as they served it') as string,
  });
  expect(events.filter(({ type }) => type === 'worker.died').length).toBeGreaterThan(10);
  expect(events).toContainEqual(expect.objectContaining({ to: 'failing', reason: 'CRASH-LOOP' }));
  session.abandon();
});
