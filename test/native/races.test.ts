/** Two processes on one page. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import type { Ring } from '../../src/host/platform.ts';
import { OpWord } from '../../src/ring/layout.ts';
import { often, patience } from '../bounds.ts';
import { addonPath, LoopbackDirectory } from '../host/loopback-setting.ts';

const domid = 1;

interface Match {
  readonly ring: Ring;
  /** Tells the guest to begin, or to stop. */
  readonly tell: () => void;
  /** What the guest says at the end. */
  readonly result: Promise<unknown>;
  readonly over: () => boolean;
}

async function meet(role: string, rounds = 0, wake: (ring: Ring) => void = () => undefined): Promise<Match> {
  const directory = new LoopbackDirectory();
  const program = join(import.meta.dirname, 'programs/guest.mjs');
  const guest: ChildProcess = fork(
    program,
    [addonPath, directory.path, role, ...[rounds, patience, often].map(String)],
    {
      execArgv: [],
    },
  );
  onTestFinished(() => void guest.kill());
  const [{ ref, port }] = (await once(guest, 'message')) as [{ ref: number; port: number }];
  const hypervisor = Hypervisor.loopback(directory.path);
  const ring = hypervisor.openRing(domid, ref, port, () => wake(ring));
  onTestFinished(() => {
    ring.close();
    hypervisor.close();
  });
  let over = false;
  const result = once(guest, 'message').then(([message]) => {
    over = true;
    return message as unknown;
  });
  return { ring, tell: () => void guest.send('go'), result, over: () => over };
}

const complement = (ring: Ring): number => ~(ring.op[OpWord.offset] ?? 0);

test('no bit of the flags is lost while bit 0 is cleared', async () => {
  const { ring, tell, result } = await meet('count');
  tell();
  const end = performance.now() + often;
  let answered = 0;
  for (; answered < 200_000 && performance.now() < end; await turn())
    for (let i = 0; i < 10_000; i++)
      if (ring.look(1) === 'request' && ring.answer(0, 0, 0) === 'published') answered++;
  tell();
  const { counted, found } = (await result) as { counted: number; found: number };
  expect(found).toBe(counted);
  expect(answered).toBeGreaterThan(0);
});

test('what is decided on does not change any more, and is what the answer is compared with', async () => {
  const { ring, tell, result } = await meet('flip');
  tell();
  const outcomes = { published: 0, abandoned: 0, vanished: 0 };
  // The guest may tear the copy; it is one copy all the same.
  let torn = 0;
  for (; outcomes.published < 100 || outcomes.abandoned < 100 || torn < 100; await turn()) {
    for (let i = 0; i < 1000; i++) {
      if (ring.look(1) !== 'request') continue;
      const decidedOn = ring.op.slice();
      if (decidedOn[0] !== decidedOn[136]) torn++;
      outcomes[ring.answer(0, 0, 0)]++;
      if (ring.op.some((word, index) => word !== decidedOn[index]))
        expect.unreachable('the copy has changed');
    }
  }
  tell();
  expect(await result).toBe('done');
  expect(outcomes.vanished).toBe(0);
});

test('thousands of requests, and each has its answer', async () => {
  const { tell, result } = await meet('ask', 100_000, (woken) => {
    while (woken.look(4096) === 'request') woken.answer(0, complement(woken), 0);
    woken.rearm();
  });
  tell();
  const { made, wrong } = (await result) as { made: number; wrong: number };
  expect(wrong).toBe(0);
  expect(made).toBeGreaterThan(0);
});

test('no wake-up is lost between looking and sleeping', async () => {
  const { tell, result } = await meet('wait', 5000, (woken) => {
    if (woken.look(1) === 'request') woken.answer(0, complement(woken), 0);
    woken.rearm();
  });
  tell();
  const { made, wrong } = (await result) as { made: number; wrong: number };
  expect(wrong).toBe(0);
  expect(made).toBeGreaterThan(0);
});

test('a storm of events costs one wake for each time they are asked for', async () => {
  let wakes = 0;
  const { ring, tell, result, over } = await meet('storm', 200_000, () => wakes++);
  tell();
  let rearms = 0;
  while (!over()) {
    for (let i = 0; i < 10; i++) await turn();
    expect(wakes).toBeLessThanOrEqual(rearms + 1);
    ring.rearm();
    rearms++;
  }
  expect(await result).toBe('done');
  expect(wakes).toBeGreaterThan(1);
});
