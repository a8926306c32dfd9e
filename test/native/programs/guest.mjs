// A guest in a process of its own: guest.mjs ADDON DIRECTORY ROLE ROUNDS PATIENCE OFTEN. Sends { ref, port }, and what it found at
// the end. It makes so many rounds, or as many as it can in OFTEN milliseconds, and waits PATIENCE for each answer.
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';

const [addon, directory, role, ...numbers] = process.argv.slice(2);
const [rounds, patience, often] = numbers.map(Number);
const { FrontRing } = createRequire(import.meta.url)(addon);
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
    return repeat((i) => {
      op[5] = i;
      op[7] = 0;
      return front.exchange(op, patience) && op[7] === ~i;
    });
  },

  // Asks, sleeps until the answer's event, asks again: every request finds the other side asleep.
  wait() {
    const op = new Int32Array(137);
    return repeat((i) => {
      let told = true;
      op[5] = i;
      front.submit(op);
      do told = front.waitEvent(patience) && told;
      while (!front.poll(op));
      return told && op[7] === ~i;
    });
  },

  storm() {
    for (let i = 0; i < rounds; i++) front.notify();
    return 'done';
  },
};

/** Counts the rounds, and those that went wrong. */
function repeat(round) {
  const end = performance.now() + often;
  let wrong = 0;
  let made = 0;
  while (made < rounds && performance.now() < end) if (!round(made++)) wrong++;
  return { made, wrong };
}

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
