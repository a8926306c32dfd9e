/** A ring that answers by itself does not notify of an answer that the front-end has seen, as its next request shows. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import { patience } from '../bounds.ts';
import { addonPath, domid, LoopbackDirectory, opWords, setUp, until } from './loopback-setting.ts';

/** Turns that last for milliseconds. */
const longHurry = 1_000_000;

/**
 * Asks twice in a hurry, and then waits to be told: the event of the first answer is taken as soon as it has come, so that the next one
 * is that of the second. Then it asks so often, which it does until each answer is there, and sleeps for the last.
 */
const guest = `
  const { parentPort, workerData: [addon, directory, domid, requests] } = require('node:worker_threads');
  const front = new (require(addon).FrontRing)(directory, domid, 8, 2, 0);
  parentPort.postMessage([front.ref, front.port]);
  const op = new Int32Array(${opWords});
  const ask = () => {
    front.submit(op);
    while (!front.poll(op));
  };
  ask();
  const toldOfFirst = front.waitEvent(${patience});
  ask();
  const toldOfSecond = front.waitEvent(${patience});
  const before = front.waitEvent(0);
  for (let request = 2; request < requests; request++) ask();
  const toldOfLast = front.waitEvent(${patience});
  parentPort.postMessage([toldOfFirst, toldOfSecond, before, toldOfLast]);`;

test('a front-end that hurries is told of its last answer', async () => {
  const directory = new LoopbackDirectory();
  const requests = 5000;
  const worker = new Worker(guest, { eval: true, workerData: [addonPath, directory.path, domid, requests] });
  onTestFinished(async () => void (await worker.terminate()));
  const [[ref, port]] = (await once(worker, 'message')) as [[number, number]];
  const hypervisor = Hypervisor.loopback(directory.path);
  onTestFinished(() => hypervisor.close());
  const ring = hypervisor.openRing(domid, ref, port, () => {
    while (ring.look(64, 4096, 10_000, longHurry) === 'busy');
    ring.rearm();
  });
  onTestFinished(() => ring.close());
  ring.answerReads([]);
  expect(await once(worker, 'message')).toEqual([[true, true, false, true]]);
  expect([ring.answered, ring.abandoned]).toEqual([requests, 0]);
}, 60_000);

test('a front-end that does nothing before it is told is told of each', async () => {
  const { ring, front } = setUp(() => {
    while (ring.look(64, 4096, 100) === 'busy');
    ring.rearm();
  });
  ring.answerReads([]);
  const op = new Int32Array(opWords);
  let answered = 0;
  front.onEvent(() => {
    if (!front.poll(op)) return;
    if (++answered < 500) front.submit(op);
  });
  front.submit(op);
  await until(() => answered === 500);
  expect(ring.answered).toBe(500);
});

test('the last of a batch is told at once: nobody looks for a while', () => {
  const { ring, front } = setUp();
  ring.answerReads([]);
  front.submit(new Int32Array(opWords));
  expect(ring.look(1, 1, 1)).toBe('busy');
  expect(front.waitEvent(patience)).toBe(true);
});
