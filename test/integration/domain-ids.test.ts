/** Ids of domains that are used again, as they are after some 32,000 domains, or when a toolstack chooses them. */
import { readFileSync } from 'node:fs';
import { createDomain, destroyDomain } from 'pciback/xpci';
import { expect, test } from 'vitest';
import { FrontRing } from '../../src/host/index.ts';
import { Command, OpWord, opSize } from '../../src/ring/layout.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { DaemonHost } from './daemon.ts';
import { Script } from './script.ts';
import { nvme } from './surroundings.ts';

const domid = 5;
const ids = Command.confRead;

/** A request that waits in the page of a domain which has granted it as the one before it did. */
function pendingRequest(
  host: DaemonHost,
  like: FrontRing,
): { readonly front: FrontRing; readonly before: Int32Array } {
  const front = new FrontRing(host.directory, domid, { ref: like.ref, port: like.port });
  const op = new Int32Array(opSize / 4);
  op[OpWord.cmd] = ids;
  op[OpWord.size] = 4;
  front.submit(op);
  return { front, before: new Int32Array(front.page).slice() };
}

test('a domain with the id of a former one has nothing of it, although it grants the same page', async () => {
  await using host = await DaemonHost.start(nvme);
  await using former = await Script.begin(host, domid);
  await former.connect(nvme);
  expect(await former.read(0)).toMatchObject({ err: 0 });
  const { resets } = host.hardware(nvme);
  await host.stop('SIGKILL');

  const { ref, port } = former.ring;
  former.ring.close();
  await destroyDomain(host.directory, domid);
  await createDomain(host.directory, domid);
  const { front, before } = pendingRequest(host, former.ring);
  expect([front.ref, front.port]).toEqual([ref, port]);

  await host.begin();
  await host.until('a state', ({ type, to }) => type === 'backend.state' && to === 'adopting');
  expect(readFileSync(`/proc/${host.pid}/maps`, 'utf8')).not.toContain(`gnt/${domid}/${ref}`);
  await host.stop('SIGKILL');
  await host.serve();
  await host.untilHidden(nvme);
  await host.untilGone(domid);
  expect(host.ports()).toEqual([]);
  expect(new Int32Array(front.page)).toEqual(before);
  expect(host.hardware(nvme).resets).toBe(resets + 1);
  expect(await former.back('state')).toBeUndefined();
  front.close();
});

test('a domain with the id of a former one is given the same function only after its reset', async () => {
  await using host = await DaemonHost.start(nvme);
  await using former = await Script.begin(host, domid);
  await former.connect(nvme);
  const { resets } = host.hardware(nvme);
  await host.stop('SIGKILL');
  former.ring.close();
  await former.removeBackend();
  await host.destroyDomain(domid);

  await using present = await Script.begin(host, domid);
  // A toolstack of ours begins there, so that the kernel leaves the directory alone.
  await present.create(nvme);
  await present.writeBack({ state: XenbusState.InitWait });
  await host.serve();
  await present.untilBack('state', XenbusState.Initialised);
  expect(host.hardware(nvme).resets).toBe(resets + 1);
  await present.publish();
  await present.untilBack('state', XenbusState.Connected);
  expect(await present.read(0)).toMatchObject({ err: 0 });
});

test('a domain that comes in the place of another between two looks has nothing of that one', async () => {
  await using host = await DaemonHost.start(nvme);
  await using former = await Script.begin(host, domid);
  await former.connect(nvme);
  const { resets } = host.hardware(nvme);
  const xenstoreds = host.xenstoreds();
  for (const pid of xenstoreds) process.kill(pid, 'SIGSTOP');
  former.ring.close();
  await destroyDomain(host.directory, domid);
  await createDomain(host.directory, domid);
  const { front, before } = pendingRequest(host, former.ring);
  for (const pid of xenstoreds) process.kill(pid, 'SIGCONT');

  await host.untilHidden(nvme);
  await expect.poll(() => host.ports()).toEqual([]);
  expect(new Int32Array(front.page)).toEqual(before);
  expect(host.hardware(nvme).resets).toBe(resets + 1);
  front.close();
});
