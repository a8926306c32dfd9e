/**
 * Who serves a guest when the kernel's back-end is there as well: a machine against the kernel's, a front-end and a toolstack, in every order.
 * Each scene is played in all orders in which the daemon lets another go first at most so many times, and in others at random.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureModel } from '../../../src/host/index.ts';
import { type Choose, type Scene, World, WorldPlatform, nic } from './world.ts';

/** How often another goes first although the daemon could; each more makes it a hundred times as many orders. */
const preemptions = Number(process.env['PCIBACK_TEST_PREEMPTIONS'] ?? 1);
const randomOrders = 100;
const patience = 300_000;

let directory: string;
let platform: WorldPlatform;
let plays = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'pciback-race-'));
  mkdirSync(join(directory, 'evt/0'), { recursive: true });
  ensureModel(directory, nic);
  platform = new WorldPlatform(directory);
});
afterAll(() => {
  platform.close();
  rmSync(directory, { recursive: true });
});

/** Plays a scene to its end and returns what is wrong with it, and with how it got there. */
async function play(scene: Scene, choose: Choose): Promise<readonly string[]> {
  const world = await World.begin(join(directory, String(plays++)), platform, scene);
  try {
    await world.play(choose);
    return [...world.violations, ...(await judge(world))].map(
      (what) => `${what}\n  ${world.trace.join('\n  ')}`,
    );
  } finally {
    await world.end();
  }
}

/** What has to be so when everybody rests. */
async function judge(world: World): Promise<readonly string[]> {
  const { scene, kernel, guests, registry, events, states, frontend } = world;
  const wrong: string[] = [];
  const sessions = guests.sessions();
  const require = (isSo: boolean, what: string): void => void (isSo || wrong.push(what));
  require(world.platform.pauses === 0, 'the guest stands still');
  if (scene.toolstack.at(-1) === 'create') {
    const servers = [...sessions.map(() => 'pciback'), ...(kernel.isBound ? ['kernel'] : [])];
    require(servers.length === 1, `it is served by ${servers.join(' and ') || 'nobody'}`);
    require(guests.kernelGuests().size ===
      (kernel.isBound ? 1 : 0), 'the daemon does not know who serves it');
    // A reset from before may not be done, which takes its time.
    await expect.poll(() => registry.ownerOf(nic.sbdf)).toBe(5);
    // A driver that is loaded while a guest is served here takes it by force.
    if (scene.driver === 'late') return wrong;
    require(!frontend.hasGivenUp, 'the front-end has given up');
    require(states === (scene.frontend === 'none' ? '3 1' : '4 4'), `the ends are in ${states}`);
    return wrong;
  }
  require(sessions.length === 0 && !kernel.isBound, 'it is served after its end');
  // Resets take time, and nobody moves meanwhile.
  await expect.poll(() => registry.ownerOf(nic.sbdf) ?? world.functionState).toBe('hidden');
  const wasGiven = events.some(({ type }) => type === 'guest.left' || type === 'function.state');
  require(wasGiven, 'nobody has served it');
  // One that the daemon has served its worker has reset.
  const whose = events.findLast(({ type }) => type === 'guest.left' || type === 'guest.takenOver');
  if (whose?.type === 'guest.left') {
    const at = events.indexOf(whose);
    require(events.slice(at).some(({ type }) => type === 'reset.completed'), 'the function was not reset');
  }
  return wrong;
}

/** All orders in which the daemon is kept from moving so many times; what goes on when it rests is tried in every order. */
async function everyOrder(scene: Scene): Promise<number> {
  const prefixes: (readonly number[])[] = [[]];
  // Of long scenes there are too many.
  const most = Math.max(preemptions - (scene.toolstack.length > 2 ? 1 : 0), 0);
  let orders = 0;
  for (let prefix = prefixes.pop(); prefix; prefix = prefixes.pop()) {
    const chosen = prefix;
    const path: number[] = [];
    let left = most;
    const choose: Choose = (names) => {
      const at = path.length;
      const isDaemons = names[0] === 'daemon';
      const choice = chosen[at] ?? 0;
      const spent = isDaemons && choice > 0 ? 1 : 0;
      if (at >= chosen.length && (!isDaemons || left > 0)) {
        for (let other = 1; other < names.length; other++) prefixes.push([...path, other]);
      }
      left -= spent;
      path.push(choice);
      return choice;
    };
    expect(await play(scene, choose)).toEqual([]);
    orders++;
  }
  return orders;
}

const create = ['create'] as const;
const scenes: Record<string, Scene> = {
  'a guest that is being created': { frontend: 'eager', driver: 'loaded', isOld: false, toolstack: create },
  'a first function for a guest that is at work': {
    frontend: 'eager',
    driver: 'loaded',
    isOld: true,
    toolstack: create,
  },
  'a guest without a front-end': { frontend: 'none', driver: 'loaded', isOld: false, toolstack: create },
  'a driver that is loaded at any time': {
    frontend: 'eager',
    driver: 'late',
    isOld: false,
    toolstack: create,
  },
  'a guest that is destroyed': {
    frontend: 'eager',
    driver: 'loaded',
    isOld: false,
    toolstack: ['create', 'destroy'],
  },
  'a guest at work that is destroyed': {
    frontend: 'eager',
    driver: 'loaded',
    isOld: true,
    toolstack: ['create', 'destroy'],
  },
  'a function that is taken back and given again': {
    frontend: 'eager',
    driver: 'loaded',
    isOld: true,
    toolstack: ['create', 'detach', 'create'],
  },
};

describe.each(Object.entries(scenes))('%s', (_, scene) => {
  test(
    'is one back-end’s, in every order',
    async () => {
      expect(await everyOrder(scene)).toBeGreaterThan(1);
    },
    patience,
  );

  test(
    'is one back-end’s, in any order',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.infiniteStream(fc.nat(7)), async (numbers) => {
          const choose: Choose = (names) => (numbers.next().value ?? 0) % names.length;
          expect(await play(scene, choose)).toEqual([]);
        }),
        { numRuns: randomOrders, endOnFailure: true },
      );
    },
    patience,
  );
});
