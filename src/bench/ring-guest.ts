/** The guest process of the ring benchmark: DIRECTORY DOMID REQUESTS. */
import { FrontRing } from '../host/front-ring.ts';
import { Command, opSize, OpWord } from '../ring/layout.ts';
import type { GuestChannel, GuestReport } from './ring-messages.ts';

const [directory = '', domid, count] = process.argv.slice(2);
const requests = Number(count);
const ring = new FrontRing(directory, Number(domid));

process.once('message', () => {
  process.send?.(readRegisters());
  ring.close();
  process.disconnect();
});
process.send?.({ ref: ring.ref, port: ring.port } satisfies GuestChannel);

function readRegisters(): GuestReport {
  const op = new Int32Array(opSize / 4);
  const microseconds = new Float64Array(requests);
  let lost = 0;
  const start = performance.now();
  let before = start;
  for (let i = 0; i < requests; i++) {
    op[OpWord.cmd] = Command.confRead;
    op[OpWord.offset] = (i * 4) & 0xfc;
    op[OpWord.size] = 4;
    if (!ring.exchange(op)) lost++;
    const now = performance.now();
    microseconds[i] = (now - before) * 1000;
    before = now;
  }
  const seconds = (before - start) / 1000;
  microseconds.sort();
  const quantile = (share: number): number => microseconds[Math.floor((requests - 1) * share)] ?? 0;
  return {
    requests,
    seconds,
    requestsPerSecond: requests / seconds,
    median: quantile(0.5),
    p99: quantile(0.99),
    lost,
  };
}
