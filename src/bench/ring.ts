/**
 * How fast one guest's requests are answered: a guest process reads registers back to back over the loopback platform, twice
 * from a worker thread that runs the real request stream - with each request emitted, and with reads answered by the ring - and once
 * from a native thread that does nothing but look, read and answer. Only the ratios say something about this code; the rest is the
 * machine.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { Hypervisor } from '../host/hypervisor.ts';
import type { GuestChannel, GuestReport, ServerReport, ServerTask } from './ring-messages.ts';

export interface RingFigures extends GuestReport {
  /** Requests that the back-end says it answered. */
  readonly answered: number;
  /** Calls of read(2) and write(2) of the serving thread for each request; null where they are not counted. */
  readonly systemCallsPerRequest: number | null;
}

export interface RingBenchmark {
  /** Each request is emitted, as one is that something has to be decided on. */
  readonly javascript: RingFigures;
  /** The ring answers by itself, as it does with reads. */
  readonly plain: RingFigures;
  readonly native: RingFigures;
  /** Requests per second, JavaScript's share of native's. */
  readonly ratio: number;
  /** The same of those that the ring answers. */
  readonly plainRatio: number;
}

const fromSource = import.meta.url.endsWith('.ts');
const execArgv = fromSource ? ['--import', 'tsx'] : [];
const program = (name: string): URL => new URL(`./${name}${fromSource ? '.ts' : '.js'}`, import.meta.url);

const domid = 1;

export interface RingBenchmarkOptions {
  /** How many requests each of them answers. Default 100 000. */
  readonly requests?: number;
  readonly signal?: AbortSignal;
}

/** Runs one after the other. Rejects with the reason of `signal` when that is aborted, with everything undone. */
export async function benchRing({
  requests = 100_000,
  signal = new AbortController().signal,
}: RingBenchmarkOptions = {}): Promise<RingBenchmark> {
  const native = await run(requests, serveNatively, signal);
  const javascript = await run(requests, serveFromWorker(false), signal);
  const plain = await run(requests, serveFromWorker(true), signal);
  const ratioOf = (figures: RingFigures): number => figures.requestsPerSecond / native.requestsPerSecond;
  return { javascript, plain, native, ratio: ratioOf(javascript), plainRatio: ratioOf(plain) };
}

type Serve = (directory: string, channel: GuestChannel) => Promise<() => Promise<ServerReport>>;

async function run(requests: number, serve: Serve, signal: AbortSignal): Promise<RingFigures> {
  signal.throwIfAborted();
  const directory = mkdtempSync(join(tmpdir(), 'pciback-bench-'));
  mkdirSync(join(directory, 'evt/0'), { recursive: true });
  const guest = fork(program('ring-guest'), [directory, String(domid), String(requests)], { execArgv });
  const exited = once(guest, 'exit');
  // Without its guest nothing here goes on.
  const end = (): unknown => guest.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  try {
    const stop = await serve(directory, await message<GuestChannel>(guest));
    const { report, served } = await measure(guest, stop);
    const { answered, systemCalls } = served;
    return {
      ...report,
      answered,
      systemCallsPerRequest: systemCalls === null ? null : systemCalls / answered,
    };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', end);
    end();
    await exited;
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Has the guest send its requests; what serves it has stopped in any case. */
async function measure(
  guest: ChildProcess,
  stop: () => Promise<ServerReport>,
): Promise<{ readonly report: GuestReport; readonly served: ServerReport }> {
  let served: ServerReport;
  let report: GuestReport;
  try {
    guest.send('go');
    report = await message<GuestReport>(guest);
  } finally {
    served = await stop();
  }
  return { report, served };
}

/** The next message of the guest; rejects when it ends instead. */
async function message<T>(guest: ChildProcess): Promise<T> {
  const ended = new AbortController();
  const exit = once(guest, 'exit', { signal: ended.signal }).then(([code]) => {
    throw new Error(`the guest process of the benchmark ended with ${String(code)}`);
  });
  try {
    const [received] = (await Promise.race([once(guest, 'message', { signal: ended.signal }), exit])) as [T];
    return received;
  } finally {
    exit.catch(() => undefined);
    ended.abort();
  }
}

const serveNatively: Serve = async (directory, { ref, port }) => {
  const hypervisor = Hypervisor.loopback(directory);
  const responder = hypervisor.startResponder(domid, ref, port, new Uint8Array(4096));
  return async () => {
    const answered = responder.stop();
    hypervisor.close();
    return { answered, systemCalls: null };
  };
};

const serveFromWorker =
  (plain: boolean): Serve =>
  async (directory, { ref, port }) => {
    const workerData: ServerTask = { directory, domid, ref, port, plain };
    const worker = startWorker(program('ring-server'), workerData);
    await once(worker, 'message');
    return async () => {
      worker.postMessage('stop');
      const [report] = (await once(worker, 'message')) as [ServerReport];
      await worker.terminate();
      return report;
    };
  };

/** Run from source, a worker needs tsx too, which on Node.js 20 cannot be had with `--import`. */
function startWorker(url: URL, workerData: ServerTask): Worker {
  if (!fromSource) return new Worker(url, { workerData });
  const bootstrap = `import('tsx/esm/api').then(({ register }) => { register(); return import('${url.href}'); })`;
  return new Worker(bootstrap, { eval: true, workerData });
}
