/** One guest asks as much as it can, on as many connections as it gets: what domain 0 and another guest notice of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endXenstored, ensureXenstored } from '../../../src/backend/xenstored.ts';
import { XenstoreClient } from '../../../src/xenstore/index.ts';

const flooding = 5;
const other = 6;
const directory = mkdtempSync(join(tmpdir(), 'xs-fair-'));
const socket = (name: string): string => join(directory, 'xenstored', name);
let dom0: XenstoreClient;
let guest: XenstoreClient;

beforeAll(async () => {
  mkdirSync(join(directory, 'dom'));
  for (const domid of [flooding, other]) writeFileSync(join(directory, 'dom', String(domid)), 'running');
  await ensureXenstored(directory);
  dom0 = await XenstoreClient.connect({ path: socket('socket') });
  for (const domid of [flooding, other]) {
    const home = `/local/domain/${domid}`;
    await dom0.write(`${home}/data`, '');
    await dom0.setPerms(`${home}/data`, [`n${domid}`]);
    for (let index = 0; index < 200; index += 1) await dom0.write(`${home}/list/name-${index}`, '');
    await dom0.setPerms(`${home}/list`, ['n0', `r${domid}`]);
  }
  guest = await XenstoreClient.connect({ path: socket(`dom${other}`) });
  // What both sides run is compiled by then.
  for (let round = 0; round < 200; round += 1) await read();
  for (let round = 0; round < 20; round += 1) await handshake();
});

afterAll(async () => {
  guest?.close();
  dom0?.close();
  await endXenstored(directory);
  rmSync(directory, { recursive: true, force: true });
});

const read = (): Promise<unknown> => dom0.read('/tool/xenstored');

/** What the two ends of a device say to each other until it is connected, about. */
async function handshake(): Promise<void> {
  const base = `/local/domain/${other}/data`;
  for (let state = 1; state <= 4; state += 1) {
    await guest.write(`${base}/front`, String(state));
    await dom0.transaction(async (tx) => {
      await tx.read(`${base}/front`);
      await tx.write(`${base}/back`, String(state));
    });
    await guest.read(`${base}/back`);
  }
}

async function time(act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await act();
  return performance.now() - begin;
}

const median = (times: readonly number[]): number =>
  times.toSorted((one, another) => one - another)[times.length >> 1] ?? Number.NaN;

/** Without and with the flood by turns, so that whatever else this machine does meets both. */
async function compare(flood: { pause(): void; goOn(): void }): Promise<{ read: number; handshake: number }> {
  const times = { quiet: { read: [], handshake: [] }, loud: { read: [], handshake: [] } } as Record<
    'quiet' | 'loud',
    Record<'read' | 'handshake', number[]>
  >;
  for (let round = 0; round < 8; round += 1) {
    for (const how of ['quiet', 'loud'] as const) {
      if (how === 'quiet') flood.pause();
      else flood.goOn();
      // What is on its way still is worked off, or begins to come.
      for (let each = 0; each < 10; each += 1) await read();
      for (let each = 0; each < 25; each += 1) times[how].read.push(await time(read));
      for (let each = 0; each < 3; each += 1) times[how].handshake.push(await time(handshake));
    }
  }
  const ratio = (what: 'read' | 'handshake'): number => median(times.loud[what]) / median(times.quiet[what]);
  return { read: ratio('read'), handshake: ratio('handshake') };
}

/** Five is what is expected of a machine that does nothing else. */
const most = 50;

test.each([
  'reads',
  'reads of deep paths',
  'writes',
  'large writes',
  'writes that are too large',
  'listings',
  'watches',
  'watched writes',
  'transactions',
  'halves of requests',
])('%s by 32 connections of a guest keep nobody else waiting', async (kind) => {
  const flooder = spawn(
    process.execPath,
    [join(import.meta.dirname, 'flooder.mjs'), socket(`dom${flooding}`), kind, '32'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await once(flooder.stdout, 'data');
    const ratios = await compare({
      pause: () => flooder.kill('SIGSTOP'),
      goOn: () => flooder.kill('SIGCONT'),
    });
    console.log(
      `${kind}: a read of domain 0 takes ${ratios.read.toFixed(1)} times as long, a handshake of another guest ${ratios.handshake.toFixed(1)} times`,
    );
    expect(ratios.read).toBeLessThanOrEqual(most);
    expect(ratios.handshake).toBeLessThanOrEqual(most);
  } finally {
    flooder.kill('SIGKILL');
    await once(flooder, 'exit');
  }
});
