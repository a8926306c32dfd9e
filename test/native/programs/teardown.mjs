// One way of ending, in none of which the process may abort or hang: teardown.mjs ADDON DIRECTORY SCENARIO. A scenario that
// got what it expects prints "fine". Without a scenario: prints the list of them.
import { createRequire } from 'node:module';
import { readdirSync, rmSync, truncateSync, unlinkSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const [addon, directory, scenario] = isMainThread ? process.argv.slice(2) : workerData;
const native = createRequire(import.meta.url)(addon);

const domid = 1;
const idle = 0;
const request = 1;
const vanished = 2;
const newOp = () => new Int32Array(137);

function fine() {
  process.stdout.write('fine\n');
}

function check(condition, what) {
  if (!condition) throw new Error(`${scenario}: ${what}`);
}

function pair(wake = () => {}, guest = domid) {
  const front = new native.FrontRing(directory, guest, 8, 2, 0);
  const hypervisor = new native.Hypervisor('loopback', directory);
  return { front, hypervisor, ring: hypervisor.openRing(guest, front.ref, front.port, wake) };
}

function truncatePage(front) {
  truncateSync(`${directory}/gnt/${domid}/${front.ref}`, 0);
}

const localPorts = () => readdirSync(`${directory}/evt/0`).filter((name) => /^\d+$/.test(name));

async function until(condition) {
  while (!condition()) await turn();
}

/** A worker that runs `scenario` of the table below, which the main thread has asked for. */
function startWorker(inWorker) {
  return new Worker(fileURLToPath(import.meta.url), { workerData: [addon, directory, inWorker] });
}

/** Ends a worker by force once it has said that it is where it should be. */
async function terminate(inWorker) {
  const worker = startWorker(inWorker);
  await once(worker, 'message');
  await worker.terminate();
  await until(() => localPorts().length === 0);
  fine();
}

async function finish(inWorker) {
  const worker = startWorker(inWorker);
  const [code] = await once(worker, 'exit');
  check(code === 0, `the worker ended with ${code}`);
  check(localPorts().length === 0, 'ports are left');
  fine();
}

const inWorkers = {
  // Sleeping on the event channel.
  'worker: sleeps'() {
    globalThis.kept = pair(() => {});
    parentPort.postMessage('ready');
  },
  // Woken as fast as the loop turns, so that termination meets a wake callback or a pending one.
  'worker: in a storm'() {
    let wakes = 0;
    const { ring, front } = (globalThis.kept = pair(() => {
      if (++wakes === 100) parentPort.postMessage('ready');
      front.notify();
      ring.rearm();
    }));
    front.onEvent(() => ring.notify());
    ring.notify();
  },
  'worker: looks'() {
    const { ring } = (globalThis.kept = pair());
    parentPort.postMessage('ready');
    for (;;) ring.look(100_000, 100_000, 1, 1);
  },
  'worker: answers'() {
    const { ring, front } = (globalThis.kept = pair());
    parentPort.postMessage('ready');
    for (;;) {
      front.submit(newOp());
      if (ring.look(1, 1, 1, 1) === request) ring.answer(0, 0, 0);
    }
  },
  'worker: responder under load'() {
    const front = new native.FrontRing(directory, domid, 8, 2, 0);
    const hypervisor = new native.Hypervisor('loopback', directory);
    globalThis.kept = hypervisor.startResponder(domid, front.ref, front.port, new Uint8Array(4096));
    parentPort.postMessage('ready');
    for (;;) front.exchange(newOp(), 1000);
  },
  'worker: exits'() {
    globalThis.kept = pair();
    globalThis.kept.front.onEvent(() => {});
    process.exit(0);
  },
  'worker: exits while woken'() {
    globalThis.kept = pair(() => process.exit(0));
  },
  'worker: closes and returns'() {
    const { ring, front, hypervisor } = pair(() => {});
    front.onEvent(() => {});
    hypervisor.close();
    ring.close();
    front.close();
  },
};

const scenarios = {
  'a worker ends by itself': () => finish('worker: exits'),
  'a worker ends in its wake callback': () => finish('worker: exits while woken'),
  'a worker closes everything and returns': () => finish('worker: closes and returns'),
  'a sleeping worker is terminated': () => terminate('worker: sleeps'),
  'a worker in a storm is terminated': () => terminate('worker: in a storm'),
  'a looking worker is terminated': () => terminate('worker: looks'),
  'an answering worker is terminated': () => terminate('worker: answers'),
  'a worker with a responder is terminated': () => terminate('worker: responder under load'),

  async 'workers come and go while another serves'() {
    const { front } = (globalThis.kept = pair());
    for (let round = 0; round < 10; round++) {
      const worker = startWorker(round % 2 ? 'worker: in a storm' : 'worker: sleeps');
      await once(worker, 'message');
      await worker.terminate();
    }
    check(front.notify(), 'our own ring is gone');
    fine();
    process.exit(0);
  },

  async 'the process exits while workers hold rings'() {
    const workers = ['worker: sleeps', 'worker: in a storm', 'worker: looks'].map(startWorker);
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    fine();
    process.exit(0);
  },

  'the process exits with open rings'() {
    globalThis.kept = pair();
    globalThis.kept.front.onEvent(() => {});
    fine();
    process.exit(0);
  },

  'the process exits in a wake callback'() {
    globalThis.kept = pair(() => {
      fine();
      process.exit(0);
    });
  },

  'the process exits with a responder at work'() {
    const front = new native.FrontRing(directory, domid, 8, 2, 0);
    const hypervisor = new native.Hypervisor('loopback', directory);
    globalThis.kept = hypervisor.startResponder(domid, front.ref, front.port, new Uint8Array(4096));
    check(front.exchange(newOp(), 10_000), 'no answer');
    fine();
    process.exit(0);
  },

  async 'the process ends by itself once all is closed'() {
    const { ring, front, hypervisor } = pair();
    front.onEvent(() => {});
    await turn();
    ring.close();
    ring.close();
    front.close();
    front.close();
    hypervisor.close();
    hypervisor.close();
    fine();
  },

  async 'rings are collected without being closed'() {
    const kept = new Set(localPorts());
    for (let i = 0; i < 50; i++) {
      pair();
      await turn();
    }
    await until(() => {
      globalThis.gc();
      return localPorts().length === kept.size;
    });
    check(readdirSync(`${directory}/gnt/${domid}`).length === 0, 'pages are left');
    fine();
  },

  async 'a ring is closed in its wake callback'() {
    const { ring, front } = pair(() => {
      ring.close();
      check(ring.look(1, 1, 1, 1) === vanished, 'the ring is still there');
      front.close();
    });
    await until(() => localPorts().length === 0);
    fine();
  },

  async 'a front-end is closed in its event callback'() {
    const { ring, front } = pair();
    front.onEvent(() => {
      front.close();
      ring.close();
    });
    ring.notify();
    await until(() => localPorts().length === 0);
    fine();
  },

  async 'a wake callback throws'() {
    const caught = once(process, 'uncaughtException');
    const { ring, front } = pair(() => {
      throw new Error('from the callback');
    });
    const [error] = await caught;
    check(error.message === 'from the callback', `caught ${error}`);
    ring.close();
    front.close();
    fine();
  },

  'a page vanishes while a thread looks at it'() {
    const { ring, front } = (globalThis.kept = pair());
    const worker = new Worker(
      `require('node:fs').truncateSync(require('node:worker_threads').workerData, 0)`,
      {
        eval: true,
        workerData: `${directory}/gnt/${domid}/${front.ref}`,
      },
    );
    let found;
    do found = ring.look(1_000_000, 1_000_000, 1, 1);
    while (found === idle);
    check(found === vanished, `look returned ${found}`);
    worker.unref();
    fine();
    process.exit(0);
  },

  async 'a page vanishes under the responder'() {
    const front = new native.FrontRing(directory, domid, 8, 2, 0);
    const hypervisor = new native.Hypervisor('loopback', directory);
    const responder = hypervisor.startResponder(domid, front.ref, front.port, new Uint8Array(4096));
    check(front.exchange(newOp(), 10_000), 'no answer');
    truncatePage(front);
    front.notify();
    check(responder.stop() === 1, 'it answered what nobody asked');
    front.close();
    fine();
  },

  'everything is removed under an open ring'() {
    const { ring, front, hypervisor } = pair();
    unlinkSync(`${directory}/evt/${domid}/${front.port}`);
    unlinkSync(`${directory}/evt/0/2`);
    ring.notify();
    ring.rearm();
    rmSync(directory, { recursive: true });
    front.submit(newOp());
    check(ring.look(1, 1, 1, 1) === request, 'the mapped page is gone');
    check(ring.answer(0, 0, 0) === 0, 'no answer');
    ring.notify();
    ring.rearm();
    ring.close();
    front.close();
    hypervisor.close();
    fine();
  },

  async 'a thousand rings, one after the other'() {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const round = async () => {
      const { ring, front, hypervisor } = pair();
      front.onEvent(() => {});
      ring.close();
      front.close();
      hypervisor.close();
      await turn();
    };
    await round();
    const before = descriptors();
    for (let i = 0; i < 1000; i++) await round();
    check(descriptors() === before, `descriptors leak: ${before}, then ${descriptors()}`);
    fine();
  },

  // A bus error that is not ours still ends the process: this one never prints "fine".
  'a bus error from elsewhere'() {
    globalThis.kept = pair();
    process.kill(process.pid, 'SIGBUS');
    setTimeout(fine, 5000);
  },
};

if (scenario) await { ...scenarios, ...inWorkers }[scenario]();
else process.stdout.write(JSON.stringify(Object.keys(scenarios)));
