/** A function whose reset does not end: what that is not allowed to hold up, and who gets the function afterwards. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ModelFault } from '../../src/host/model.ts';
import { ControlClient } from '../../src/monitor/index.ts';
import { DaemonHost } from './daemon.ts';
import { e1000e, igb, nvme } from './surroundings.ts';

const nvmeName = '0000:42:00.0';

async function standing(host: DaemonHost) {
  const { functions } = await host.status();
  const found = functions.find(({ sbdf }) => sbdf === nvmeName);
  return found ?? expect.unreachable();
}

const isBeingReset = (host: DaemonHost): Promise<void> =>
  host.untilStatus('the reset to begin', ({ functions }) =>
    functions.some(({ sbdf, resettingSince }) => sbdf === nvmeName && resettingSince !== null),
  );

/** Domain 1 has been destroyed, and the reset of its function hangs. */
async function hanging(): Promise<DaemonHost> {
  const host = await DaemonHost.start(nvme, e1000e, igb);
  const guest = await host.boot(1, [nvme]);
  host.hardware(nvme).faults = ModelFault.resetHangs;
  await guest.kill();
  await host.destroyDomain(1);
  await isBeingReset(host);
  return host;
}

test('another guest is served, comes and goes, and status says since when', async () => {
  const before = Date.now();
  await using host = await hanging();
  const { state, owner, resettingSince } = await standing(host);
  expect([state, owner]).toEqual(['reset', 1]);
  expect(Date.parse(resettingSince ?? '')).toBeGreaterThanOrEqual(before - 1000);

  const other = await host.boot(2, [e1000e, igb]);
  await other.call('enableMsix', {});
  expect(await host.detach(2, igb)).toMatchObject({ outcome: 'completed' });
  await host.untilHidden(igb);
  expect(await host.attach(2, nvme)).toMatchObject({
    outcome: expect.not.stringMatching('completed') as string,
  });
  expect((await standing(host)).resettingSince).toBe(resettingSince);

  host.hardware(nvme).faults = ModelFault.none;
  await host.untilHidden(nvme);
  expect((await standing(host)).resettingSince).toBeNull();
}, 120_000);

test('the daemon ends when it is told to, and the next one gives the function to nobody before it is reset', async () => {
  await using host = await hanging();
  const { resettingSince } = await standing(host);
  expect(await host.stop('SIGTERM')).toBe(0);
  expect(host.events).toContainEqual(
    expect.objectContaining({ type: 'warning', subject: nvmeName, reason: 'TIMED-OUT' }),
  );
  await host.serve();
  await isBeingReset(host);
  expect(await standing(host)).toMatchObject({ state: 'reset', resettingSince });
  host.hardware(nvme).faults = ModelFault.none;
  await host.untilHidden(nvme);
}, 120_000);

test('a function that nobody had when its daemon was killed in the middle of a reset is reset by the next one', async () => {
  await using host = await DaemonHost.start(nvme);
  host.hardware(nvme).faults = ModelFault.resetHangs;
  // Of one caller the daemon answers one call after the other.
  const administrator = await ControlClient.connect(join(host.directory, 'state/control.sock'));
  administrator.call('reset', { function: nvmeName }).catch(() => undefined);
  await isBeingReset(host);
  const { resets } = host.hardware(nvme);
  await host.restart();
  await isBeingReset(host);
  await expect.poll(() => host.hardware(nvme).resets).toBe(resets + 1);
  host.hardware(nvme).faults = ModelFault.none;
  await host.untilHidden(nvme);
}, 120_000);
