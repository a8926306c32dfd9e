/** The worker thread of the ring benchmark: the real request stream, in front of a table instead of a filter. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { Subject } from 'rxjs';

import { makeSbdf } from '../address.ts';
import { Hypervisor } from '../host/hypervisor.ts';
import { OpWord, WireError } from '../ring/layout.ts';
import { requestStream } from '../ring/request-stream.ts';
import type { ServerReport, ServerTask } from './ring-messages.ts';

const { directory, domid, ref, port, plain } = workerData as ServerTask;
const config = new Int32Array(1024);
const table = {
  length: 4096,
  live: new Uint32Array(1024),
  shown: new Uint32Array(config.buffer),
  resetting: new Uint32Array(1),
  reads: new Float64Array(1),
};
const wakes = new Subject<void>();
const hypervisor = Hypervisor.loopback(directory);
const ring = hypervisor.openRing(domid, ref, port, () => wakes.next());

if (plain) ring.answerReads([{ address: makeSbdf(0, 0, 0, 0), table, hardware: {} }]);

let answered = 0;
const before = systemCalls();
const serving = requestStream(ring, wakes).subscribe((op) => {
  const value = config[(op[OpWord.offset] ?? 0) >> 2] ?? 0;
  if (ring.answer(WireError.success, value, 0) === 'published') answered++;
});

parentPort?.once('message', () => {
  const after = systemCalls();
  serving.unsubscribe();
  ring.close();
  hypervisor.close();
  const report: ServerReport = {
    answered: answered + ring.answered,
    systemCalls: before !== null && after !== null ? after - before : null,
  };
  parentPort?.postMessage(report);
});

parentPort?.postMessage('ready');

/** Reads and writes that the kernel counted for this thread so far. */
function systemCalls(): number | null {
  try {
    const text = readFileSync('/proc/thread-self/io', 'utf8');
    const count = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1]);
    return count('syscr') + count('syscw');
  } catch {
    return null;
  }
}
