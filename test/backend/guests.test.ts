import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Guests } from '../../src/backend/guests.ts';
import { LoopbackPlatform } from '../../src/host/index.ts';
import { XenbusState, backendPath, frontendPath } from '../../src/xenbus/index.ts';
import { Loopback } from '../toolstack/loopback.ts';
import { sessionHost } from './session-host.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed } = XenbusState;

/** A host on which the kernel's back-end serves guests, and lets go of them or does not. */
class KernelPlatform extends LoopbackPlatform {
  readonly serves = new Set<number>();
  readonly taken: number[] = [];
  letGo: (domid: number) => Promise<void> = async () => {};

  override kernelServes(domid?: number): boolean {
    return domid !== undefined && this.serves.has(domid);
  }

  override async takeFromKernel(domid?: number): Promise<void> {
    if (domid === undefined) return;
    await this.letGo(domid);
    this.serves.delete(domid);
    this.taken.push(domid);
  }
}

async function host() {
  const loopback = await Loopback.start();
  const { directory, store } = loopback;
  const platform = new KernelPlatform(directory);
  // As the kernel does when its driver loses a device.
  platform.letGo = (domid) => loopback.setState(backendPath(domid), Closed);
  const { host: shared, events } = sessionHost(loopback, platform);
  let isReady = true;
  const guests = new Guests(shared, () => isReady);
  onTestFinished(async () => {
    isReady = false;
    await Promise.all(guests.sessions().map((session) => session.handOver()));
    platform.close();
  });
  const begin = async (domid: number, frontend: XenbusState): Promise<void> => {
    await loopback.createDomain(domid);
    await store.write(`${backendPath(domid)}/frontend`, frontendPath(domid));
    await store.write(`${backendPath(domid)}/online`, '1');
    await loopback.setState(frontendPath(domid), frontend);
    await loopback.setState(backendPath(domid), Initialising);
  };
  const isWaiting = (domid: number) => loopback.awaitValue(`${backendPath(domid)}/state`, String(InitWait));
  const told = (type: string) => events.filter((event) => event.type === type);
  return { loopback, platform, guests, begin, isWaiting, told };
}

test('a guest whose front-end has not come up is taken from the kernel, and is served from the start', async () => {
  const { platform, guests, begin, isWaiting, told } = await host();
  await begin(5, Initialising);
  platform.serves.add(5);
  await guests.follow(undefined);
  await isWaiting(5);
  expect(platform.taken).toEqual([5]);
  expect(told('guest.takenOver')).toMatchObject([{ domid: 5, from: 'kernel' }]);
});

test('a guest whose front-end has come up stays with the kernel, which is told once', async () => {
  const { platform, guests, begin, told } = await host();
  await begin(5, Initialised);
  platform.serves.add(5);
  await guests.follow(undefined);
  await guests.follow([5]);
  expect(platform.taken).toEqual([]);
  expect(guests.sessions()).toEqual([]);
  expect(told('guest.left')).toMatchObject([{ domid: 5, reason: 'KERNEL-BACKEND' }]);
});

test('a guest that the kernel picks up while it is served already is taken back, by another session', async () => {
  const { platform, guests, begin, isWaiting, told } = await host();
  await begin(5, Initialising);
  await guests.follow([5]);
  await isWaiting(5);
  const first = guests.sessionOf(5);
  platform.serves.add(5);
  await guests.follow([5]);
  await isWaiting(5);
  expect(guests.sessionOf(5)).not.toBe(first);
  expect(guests.sessions()).toHaveLength(1);
  expect(told('guest.takenOver')).toHaveLength(1);
});

test('a guest that the kernel does not let go of keeps no other from being served', async () => {
  const { platform, guests, begin, isWaiting, told } = await host();
  await begin(5, Initialising);
  await begin(6, Initialising);
  platform.serves.add(5);
  platform.letGo = () => Promise.reject(new Error('it does not let go'));
  await guests.follow(undefined);
  await isWaiting(6);
  expect(told('warning')).toMatchObject([{ domid: 5, message: 'it does not let go' }]);
});

const sawClosed = { reason: 'KERNEL-BACKEND', remedy: expect.stringContaining('xen-pcifront') as string };

test.each([Closing, Closed])(
  'a front-end that sees the Closed of the kernel’s back-end, and goes to %i, is explained',
  async (state) => {
    const { loopback, platform, guests, begin, told } = await host();
    await begin(5, Initialising);
    await begin(6, Initialising);
    platform.serves.add(5).add(6);
    platform.letGo = async (domid) => {
      await loopback.setState(backendPath(domid), Closed);
      await loopback.setState(frontendPath(domid), domid === 5 ? Connected : state);
    };
    await guests.follow(undefined);
    await expect.poll(() => told('warning')).toMatchObject([{ domid: 6, ...sawClosed }]);
  },
);

test('so is one that sees it only when its guest has been taken', async () => {
  const { loopback, platform, guests, begin, isWaiting, told } = await host();
  await begin(5, Initialising);
  platform.serves.add(5);
  await guests.follow(undefined);
  await isWaiting(5);
  expect(told('warning')).toEqual([]);
  await loopback.setState(frontendPath(5), Closed);
  await expect.poll(() => told('warning')).toMatchObject([{ domid: 5, ...sawClosed }]);
  await loopback.setState(frontendPath(5), Closed);
  await isWaiting(5);
  expect(told('warning')).toHaveLength(1);
});

test('a guest that is on its way out has nothing to explain', async () => {
  const { loopback, platform, guests, begin, told } = await host();
  for (const domid of [5, 6, 7]) await begin(domid, Initialising);
  platform.serves.add(5).add(6).add(7);
  platform.letGo = async (domid) => {
    await loopback.setState(backendPath(domid), Closed);
    if (domid === 5) await loopback.store.write(`${backendPath(5)}/online`, '0');
    if (domid === 6) await writeFile(join(loopback.directory, 'dom/6'), 'shutdown 0\n');
    await loopback.setState(frontendPath(domid), Closed);
  };
  await guests.follow(undefined);
  await expect.poll(() => told('warning')).toMatchObject([{ domid: 7, ...sawClosed }]);
});
