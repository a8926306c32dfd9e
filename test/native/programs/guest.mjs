// A guest in a process of its own: guest.mjs ADDON DIRECTORY ROLE ROUNDS PATIENCE. Sends { ref, port }, and what it found at the end.
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';

const [addon, directory, role, rounds, patience] = process.argv.slice(2);
const { FrontRing } = createRequire(import.meta.url)(addon);
const count = Number(rounds);
const longest = Number(patience);
const front = new FrontRing(directory, 1, 8, 2, 0);
const page = new Int32Array(front.page);

const roles = {
  // Counts in the flags that are not the back-end's business, until it is told to stop. A back-end that cleared bit 0 with
  // anything but an atomic operation would now and then write back an old count.
  async count() {
    let counted = 0;
    await untilStopped(() => {
      Atomics.or(page, 0, 1);
      Atomics.add(page, 0, 8);
      counted = (counted + 1) & 0x1fff_ffff;
    });
    return { counted, found: Atomics.load(page, 0) >>> 3 };
  },

  // Rewrites the request all the time while bit 0 is set, as in XSA-155.
  async flip() {
    let i = 0;
    await untilStopped(() => {
      page.fill(i++, 1, 138);
      Atomics.or(page, 0, 1);
    });
    return 'done';
  },

  // Asks and checks each answer.
  ask() {
    const op = new Int32Array(137);
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      op[5] = i;
      op[7] = 0;
      if (!front.exchange(op, longest) || op[7] !== ~i) wrong++;
    }
    return wrong;
  },

  // Asks, sleeps until the answer's event, asks again: every request finds the other side asleep.
  wait() {
    const op = new Int32Array(137);
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      op[5] = i;
      front.submit(op);
      do if (!front.waitEvent(longest)) wrong++;
      while (!front.poll(op));
      if (op[7] !== ~i) wrong++;
    }
    return wrong;
  },

  storm() {
    for (let i = 0; i < count; i++) front.notify();
    return 'done';
  },
};

async function untilStopped(work) {
  const stop = new AbortController();
  process.once('message', () => stop.abort());
  while (!stop.signal.aborted) {
    for (let i = 0; i < 10_000; i++) work();
    await turn();
  }
}

process.once('message', async () => {
  process.send(await roles[role]());
  process.disconnect();
});
process.send({ ref: front.ref, port: front.port });
