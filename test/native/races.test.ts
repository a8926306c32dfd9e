/** Two processes on one page. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import type { Ring } from '../../src/host/platform.ts';
import { OpWord } from '../../src/ring/layout.ts';
import { addonPath, LoopbackDirectory } from '../host/loopback-setting.ts';

const domid = 1;

interface Match {
  readonly ring: Ring;
  /** Lets the guest begin, and resolves to what it says at the end. */
  readonly start: () => { readonly result: Promise<unknown>; over(): boolean };
}

async function meet(
  role: string,
  rounds: number,
  wake: (ring: Ring) => void = () => undefined,
): Promise<Match> {
  const directory = new LoopbackDirectory();
  const program = join(import.meta.dirname, 'programs/guest.mjs');
  const guest: ChildProcess = fork(program, [addonPath, directory.path, role, String(rounds)], {
    execArgv: [],
  });
  onTestFinished(() => void guest.kill());
  const [{ ref, port }] = (await once(guest, 'message')) as [{ ref: number; port: number }];
  const hypervisor = Hypervisor.loopback(directory.path);
  const ring = hypervisor.openRing(domid, ref, port, () => wake(ring));
  onTestFinished(() => {
    ring.close();
    hypervisor.close();
  });
  return {
    ring,
    start: () => {
      let over = false;
      const result = once(guest, 'message').then(([message]) => {
        over = true;
        return message as unknown;
      });
      guest.send('start');
      return { result, over: () => over };
    },
  };
}

const complement = (ring: Ring): number => ~(ring.op[OpWord.offset] ?? 0);

test('no bit of the flags is lost while bit 0 is cleared', async () => {
  const rounds = 1_000_000;
  const { ring, start } = await meet('count', rounds);
  const guest = start();
  let answered = 0;
  while (!guest.over()) {
    for (let i = 0; i < 10_000; i++)
      if (ring.look(1) === 'request' && ring.answer(0, 0, 0) === 'published') answered++;
    await turn();
  }
  expect(await guest.result).toBe(rounds);
  expect(answered).toBeGreaterThan(1000);
});

test('what is decided on does not change any more, and is what the answer is compared with', async () => {
  const { ring, start } = await meet('flip', 400_000);
  const guest = start();
  const outcomes = { published: 0, abandoned: 0, vanished: 0 };
  let torn = 0;
  while (!guest.over()) {
    for (let i = 0; i < 2000; i++) {
      if (ring.look(1) !== 'request') continue;
      const decidedOn = ring.op.slice();
      // The guest may have torn the copy; it is one copy all the same.
      if (decidedOn[0] !== decidedOn[136]) torn++;
      const outcome = ring.answer(0, 0, 0);
      outcomes[outcome]++;
      expect(ring.op).toEqual(decidedOn);
    }
    await turn();
  }
  expect(await guest.result).toBe('done');
  expect(torn).toBeGreaterThan(0);
  expect(outcomes.abandoned).toBeGreaterThan(0);
  expect(outcomes.published).toBeGreaterThan(0);
  expect(outcomes.vanished).toBe(0);
});

test('a hundred thousand requests, and each has its answer', async () => {
  const { start } = await meet('ask', 100_000, (woken) => {
    while (woken.look(4096) === 'request') woken.answer(0, complement(woken), 0);
    woken.rearm();
  });
  expect(await start().result).toBe(0);
}, 60_000);

test('no wake-up is lost between looking and sleeping', async () => {
  const { start } = await meet('wait', 5000, (woken) => {
    if (woken.look(1) === 'request') woken.answer(0, complement(woken), 0);
    woken.rearm();
  });
  expect(await start().result).toBe(0);
}, 60_000);

test('a storm of events costs one wake for each time they are asked for', async () => {
  let wakes = 0;
  const { ring, start } = await meet('storm', 200_000, () => wakes++);
  const guest = start();
  let rearms = 0;
  while (!guest.over()) {
    for (let i = 0; i < 10; i++) await turn();
    expect(wakes).toBeLessThanOrEqual(rearms + 1);
    ring.rearm();
    rearms++;
  }
  expect(await guest.result).toBe('done');
  expect(wakes).toBeGreaterThan(1);
});
