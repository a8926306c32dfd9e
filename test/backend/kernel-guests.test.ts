/** Guests that the kernel's own back-end has: when one is taken from it, and what is left alone when it is not. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { endPauses, pauseStore } from '../../src/backend/pause.ts';
import { stateOf } from '../../src/backend/registry.ts';
import { servedByUs } from '../../src/backend/resume.ts';
import { XenbusState, backendPath, claimPath, frontendPath } from '../../src/xenbus/index.ts';
import { KernelPlatform, kernelHost, later, nic } from './kernel-host.ts';

const { Initialising, InitWait, Initialised, Connected, Closed } = XenbusState;
const state = `${backendPath(5)}/state`;

describe('a guest is taken from the kernel', () => {
  test('while it stands still, until its directory says InitWait', async () => {
    const { loopback, platform, guests, begin } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    const seen: (string | undefined)[] = [];
    platform.onPause = (isPaused) => {
      if (!isPaused) void loopback.store.read(state).then((value) => seen.push(value));
    };
    await guests.follow([5]);
    expect(platform.done).toEqual(['pause 5', 'unbind 5', 'unpause 5']);
    await expect.poll(() => seen).toEqual([String(InitWait)]);
  });

  test('and goes on when its front-end has come up before it stood still, which is left then', async () => {
    const { loopback, platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    const front = later();
    platform.onPause = (isPaused) => {
      // What it had asked of xenstored before.
      if (isPaused) front.resolve(loopback.setState(frontendPath(5), Initialised));
    };
    await guests.follow([5]);
    await front.promise;
    expect(platform.done).toEqual(['pause 5', 'unpause 5']);
    expect(told('guest.left')).toHaveLength(1);
  });

  test('not when it has been at work for long: then it is not stopped', async () => {
    const { platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    platform.seconds = 31;
    await guests.follow([5]);
    expect(platform.done).toEqual([]);
    expect(guests.sessions()).toEqual([]);
    expect(told('guest.left')).toMatchObject([{ domid: 5 }]);
  });

  test('and goes on when the kernel does not let go of it', async () => {
    const { platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    platform.letGo = () => Promise.reject(new Error('it does not let go'));
    await guests.follow([5]);
    expect(platform.done).toEqual(['pause 5', 'unpause 5']);
    expect(told('warning')).toMatchObject([{ domid: 5, message: 'it does not let go' }]);
    expect([...guests.kernelGuests().keys()]).toEqual([5]);
  });

  test('or left to it when it cannot be stopped', async () => {
    const { platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    platform.pauseDomain = () => {
      throw new Error('Xen does not pause it');
    };
    await guests.follow([5]);
    expect(platform.done).toEqual([]);
    expect(told('warning')).toMatchObject([{ domid: 5, message: 'Xen does not pause it' }]);
    expect(platform.serves.has(5)).toBe(true);
  });

  test('or left to it when no file can say for the next daemon that it stands still', async () => {
    const { loopback, platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    const paused = join(loopback.directory, 'state/paused');
    await rm(paused, { recursive: true, force: true });
    await mkdir(join(loopback.directory, 'state'), { recursive: true });
    await writeFile(paused, 'in the way');
    await guests.follow([5]);
    expect(platform.done).toEqual([]);
    expect(told('warning')).toMatchObject([{ domid: 5, reason: 'STATE-NOT-SAVED' }]);
    expect(platform.serves.has(5)).toBe(true);
  });

  test('and is let go on by the next daemon when this one dies meanwhile', async () => {
    const { loopback, platform, guests, begin } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    const killed = new KernelPlatform(loopback.directory);
    const directory = join(loopback.directory, 'state/paused');
    let left = 0;
    platform.letGo = async () => {
      endPauses(killed, pauseStore(directory), () => undefined);
      left = pauseStore(directory).load(() => undefined).size;
    };
    await guests.follow([5]);
    expect(killed.done).toEqual(['unpause 5']);
    expect(left).toBe(0);
    killed.close();
  });

  test('and the next domain that has its id stands when the toolstack wants it to', async () => {
    const { loopback, platform, guests, begin } = await kernelHost();
    await begin(5, Initialising);
    platform.serves.add(5);
    const next = new KernelPlatform(loopback.directory);
    next.domainIdentity = () => 'another one';
    const directory = join(loopback.directory, 'state/paused');
    let left = 0;
    platform.letGo = async () => {
      endPauses(next, pauseStore(directory), () => undefined);
      left = pauseStore(directory).load(() => undefined).size;
    };
    await guests.follow([5]);
    expect(next.done).toEqual([]);
    expect(left).toBe(0);
    next.close();
  });
});

describe('where the kernel’s driver is loaded', () => {
  test('a session begins only when the driver has bound and has been taken from', async () => {
    const { loopback, platform, guests, begin, writes } = await kernelHost();
    const bound = later();
    platform.isLoaded = true;
    platform.bound = bound.promise;
    await begin(5, Initialising);
    const before = writes();
    await guests.follow([5]);
    await guests.follow(undefined);
    expect(guests.sessions()).toEqual([]);
    expect(writes()).toBe(before);
    platform.serves.add(5);
    bound.resolve();
    await expect.poll(() => platform.done).toEqual(['pause 5', 'unbind 5', 'unpause 5']);
    await loopback.awaitValue(state, String(InitWait));
  });

  test('a directory to which it does not bind although it had the time is ours', async () => {
    const { loopback, platform, guests, begin } = await kernelHost();
    platform.isLoaded = true;
    await begin(5, Initialising);
    await guests.follow([5]);
    await loopback.awaitValue(state, String(InitWait));
    expect(platform.done).toEqual([]);
  });

  test('a directory that is not whole is nobody’s yet', async () => {
    const { loopback, platform, guests } = await kernelHost();
    platform.isLoaded = true;
    await loopback.createDomain(5);
    await loopback.store.write(`${backendPath(5)}/frontend`, frontendPath(5));
    await guests.follow([5]);
    expect(guests.sessions()).toEqual([]);
  });
});

describe('a guest that is left to the kernel', () => {
  test.each([InitWait, Initialised, Connected])(
    'while a session has begun, and stands in %i, sees the session end without a write',
    async (at) => {
      const { loopback, platform, guests, begin, writes, told } = await kernelHost();
      await begin(5, Initialising);
      await loopback.setState(backendPath(5), InitWait);
      await guests.follow([5]);
      const session = guests.sessionOf(5);
      await expect.poll(() => session?.state).toBe('waiting');
      platform.serves.add(5);
      await loopback.setState(frontendPath(5), Initialised);
      await loopback.setState(backendPath(5), at);
      const before = writes();
      await guests.follow([5]);
      await session?.released;
      expect(session?.state).toBe('left');
      expect(writes()).toBe(before);
      expect(await loopback.readState(backendPath(5))).toBe(at);
      expect(guests.sessions()).toEqual([]);
      expect(told('guest.left')).toMatchObject([{ domid: 5, reason: 'KERNEL-BACKEND' }]);
    },
  );

  test('is left by a session that is at work, which comes to its end and no further', async () => {
    const { platform, guests, shared, begin, writes, hide, registry, events } = await kernelHost();
    await hide(nic);
    const listing = later();
    shared.host.hideListed = () => listing.promise;
    await begin(5, Initialising, nic.sbdf);
    await guests.follow([5]);
    const session = guests.sessionOf(5);
    await expect.poll(() => session?.state).toBe('exporting');
    const before = writes();
    const handedOver = session?.handOver();
    // Nobody serves it here: the session has been told, and that is enough.
    expect(platform.serves.size).toBe(0);
    listing.resolve();
    await handedOver;
    expect(session?.state).toBe('left');
    expect(writes()).toBe(before);
    expect(registry.ownerOf(nic.sbdf)).toBeUndefined();
    // No worker has been started for it either.
    expect(events.filter(({ type }) => type !== 'guest.state')).toEqual([]);
  });

  test('is noticed by the session itself, when nothing rings', async () => {
    const { loopback, platform, guests, begin, writes } = await kernelHost();
    await begin(5, Initialising);
    await guests.follow([5]);
    const session = guests.sessionOf(5);
    await expect.poll(() => session?.state).toBe('waiting');
    const before = writes();
    platform.serves.add(5);
    // The session follows its front-end by itself.
    await loopback.setState(frontendPath(5), Closed);
    await loopback.store.write(`${backendPath(5)}/num_devs`, '0');
    session?.ring();
    await session?.released;
    expect(session?.state).toBe('left');
    expect(writes()).toBe(before + 2);
    await expect.poll(() => [...guests.kernelGuests().keys()]).toEqual([5]);
  });

  test('is shown as it is', async () => {
    const { loopback, platform, guests, begin } = await kernelHost();
    await begin(5, Initialised, nic.sbdf);
    platform.serves.add(5);
    await guests.follow([5]);
    expect(guests.kernelGuests().get(5)).toMatchObject({ state: Initialising, frontendState: Initialised });
    // The front-end moves last, and the kernel writes nothing after it.
    await loopback.setState(backendPath(5), Connected);
    await loopback.setState(frontendPath(5), Connected);
    await expect.poll(() => guests.kernelGuests().get(5)?.frontendState).toBe(Connected);
  });

  test('is told of once, however often its directory changes', async () => {
    const { platform, guests, begin, told } = await kernelHost();
    await begin(5, Initialised);
    platform.serves.add(5);
    for (let times = 0; times < 3; times++) await guests.follow([5]);
    expect(told('guest.left')).toHaveLength(1);
  });

  test('is not gone on with by workers of a successor', async () => {
    const { platform } = await kernelHost();
    platform.serves.add(5);
    const ring = { grantRef: 8, port: 9, localPort: 2 };
    const deleted: string[] = [];
    const ours = servedByUs(
      new Map([
        ['5', ring],
        ['6', ring],
      ]),
      platform,
      { delete: (key) => void deleted.push(key) },
    );
    expect([...ours.keys()]).toEqual(['6']);
    expect(deleted).toEqual(['5']);
  });
});

describe('a function of ours that a guest of the kernel’s has', () => {
  const leftWithNic = async () => {
    const setting = await kernelHost();
    await setting.hide(nic);
    await setting.begin(5, Initialised, nic.sbdf);
    setting.platform.serves.add(5);
    setting.platform.knows.add(5);
    await setting.loopback.setState(backendPath(5), Connected);
    await setting.loopback.store.write(claimPath(nic.sbdf), '5');
    await setting.guests.follow([5]);
    const nicState = () => stateOf(setting.registry.get(nic.sbdf) ?? expect.unreachable());
    return { ...setting, nicState };
  };

  test('is its until it has ended, and is reset then', async () => {
    const { loopback, platform, guests, registry, told, nicState } = await leftWithNic();
    expect(registry.ownerOf(nic.sbdf)).toBe(5);
    expect(() => registry.claim(nic.sbdf, 6)).toThrow('belongs to domain 5');
    await rm(join(loopback.directory, 'dom/5'));
    platform.serves.delete(5);
    // Its link has gone, and it resets what it had exported.
    await guests.follow(undefined);
    expect(registry.ownerOf(nic.sbdf)).toBe(5);
    expect(told('reset.completed')).toEqual([]);
    platform.knows.delete(5);
    await expect.poll(() => told('reset.completed')).toHaveLength(1);
    expect(registry.ownerOf(nic.sbdf)).toBeUndefined();
    expect(nicState()).toBe('hidden');
    // What nobody will ever close is removed, and the claim with it.
    expect(await loopback.store.read(claimPath(nic.sbdf))).toBeUndefined();
    expect(guests.kernelGuests().size).toBe(0);
  });

  test('is quarantined when that fails', async () => {
    const { loopback, platform, told, nicState, breakReset } = await leftWithNic();
    breakReset();
    await rm(join(loopback.directory, 'dom/5'));
    platform.serves.delete(5);
    platform.knows.delete(5);
    await expect.poll(() => told('reset.failed')).toHaveLength(1);
    expect(nicState()).toBe('quarantined');
  });

  test('is reset when the toolstack has taken it back, and not before it has let go of it', async () => {
    const { loopback, guests, registry, told } = await leftWithNic();
    const { store } = loopback;
    await store.write(`${backendPath(5)}/num_devs`, '0');
    await guests.follow([5]);
    expect(told('reset.completed')).toEqual([]);
    expect(registry.ownerOf(nic.sbdf)).toBe(5);
    await store.rm(claimPath(nic.sbdf));
    await expect.poll(() => told('reset.completed')).toHaveLength(1);
    expect(registry.ownerOf(nic.sbdf)).toBeUndefined();
  });

  test('is left alone when the guest has got it again meanwhile', async () => {
    const { loopback, guests, registry, told } = await leftWithNic();
    const { store } = loopback;
    await store.write(`${backendPath(5)}/num_devs`, '0');
    await guests.follow([5]);
    await store.write(`${backendPath(5)}/num_devs`, '1');
    await guests.follow([5]);
    await store.rm(claimPath(nic.sbdf));
    // Another look at everything, behind all that the claim has set off.
    await guests.follow(undefined);
    await store.read(claimPath(nic.sbdf));
    expect(told('reset.completed')).toEqual([]);
    expect(registry.ownerOf(nic.sbdf)).toBe(5);
  });

  test('is the next guest’s when the toolstack has handed it on', async () => {
    const { loopback, guests, registry, told } = await leftWithNic();
    await loopback.createDomain(6);
    await loopback.store.write(claimPath(nic.sbdf), '6');
    await loopback.store.write(`${backendPath(5)}/num_devs`, '0');
    await guests.follow([5]);
    await expect.poll(() => registry.ownerOf(nic.sbdf)).toBeUndefined();
    expect(told('reset.completed')).toEqual([]);
  });

  test('is not touched by the session that had begun with the guest', async () => {
    const { loopback, platform, guests, hide, begin, registry, events, writes } = await kernelHost();
    await hide(nic);
    await begin(5, Initialising, nic.sbdf);
    await loopback.setState(backendPath(5), InitWait);
    // Bound in the middle of what the session does first.
    let looks = 0;
    platform.onLook = () => {
      looks++;
      if (looks === 4) platform.serves.add(5);
    };
    await loopback.setState(frontendPath(5), Initialised);
    const before = writes();
    await guests.follow([5]);
    await expect.poll(() => [...guests.kernelGuests().keys()]).toEqual([5]);
    expect(writes()).toBe(before);
    expect(registry.ownerOf(nic.sbdf)).toBe(5);
    expect(events.filter(({ type }) => type === 'function.state' || type.startsWith('reset'))).toEqual([]);
  });
});
