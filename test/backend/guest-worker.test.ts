import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { GuestWorker, type Report } from '../../src/backend/guest-worker.ts';
import { endingThreads, makePool } from '../../src/backend/pool.ts';
import { sampleFunction } from '../../src/host/index.ts';
import type { Resume } from '../../workers/messages.ts';
import { LoopbackDirectory } from '../host/loopback-setting.ts';
import { assignmentOf } from './assignment.ts';

const where = { kind: 'loopback', directory: '/' } as const;
const sbdf = makeSbdf(0, 3, 0, 0);

const something = (): Resume => ({
  assignments: [assignmentOf(new LoopbackDirectory().path, sampleFunction(sbdf), 5)],
  ring: { grantRef: 8, port: 2 },
});

function begin(given?: Resume) {
  const pool = makePool(1, join(import.meta.dirname, 'obedient-worker.mjs'));
  onTestFinished(() => pool.destroy());
  const heard: Report[] = [];
  const worker = new GuestWorker(pool, 5, where, (report) => heard.push(report), given);
  return { pool, worker, heard };
}

const nobody = (): void => undefined;

const abandoned = (times: number): Report => ({ is: 'abandoned', times });
const storm = (wakeups: number): Report => ({ is: 'storm', wakeups, times: 1 });

test('a worker whose port closes before its task is over has died, and its thread is given nothing more', async () => {
  const { pool, worker } = begin();
  await worker.step({ do: 'disconnect' });
  const [thread] = pool.threads;
  const step = worker.step({ do: 'quiesce' });
  await expect(step).rejects.toMatchObject({ reason: 'WORKER-DIED' });
  expect(await worker.over).toBe('died');
  expect([...endingThreads]).toEqual([thread?.threadId]);
  await expect(worker.step({ do: 'disconnect' })).rejects.toMatchObject({ reason: 'WORKER-DIED' });

  const next = new GuestWorker(pool, 5, where, nobody);
  expect(pool.queueSize).toBe(1);
  await thread?.terminate();
  await next.step({ do: 'disconnect' });
  expect([...endingThreads]).toEqual([]);
  await next.end();
});

test('a worker whose thread is ended has died, and another one serves in a new thread', async () => {
  const { pool, worker } = begin();
  await worker.step({ do: 'disconnect' });
  const [thread] = pool.threads;
  await worker.kill();
  expect(await worker.over).toBe('died');
  expect(worker.wasEndedOnPurpose).toBe(true);
  const next = new GuestWorker(pool, 5, where, nobody);
  await next.step({ do: 'disconnect' });
  expect(pool.threads).not.toContain(thread);
  await next.end();
});

test('a worker that is ended in order has not died, and its thread goes on', async () => {
  const { pool, worker } = begin();
  const [thread] = pool.threads;
  await worker.step({ do: 'disconnect' });
  await Promise.all([worker.end(), worker.end()]);
  expect(await worker.over).toBe('ended');
  expect(endingThreads.size).toBe(0);
  const next = new GuestWorker(pool, 6, where, nobody);
  await next.step({ do: 'disconnect' });
  expect(pool.threads).toEqual([thread]);
  await next.end();
  await worker.end();
});

test('reports are told to whoever listens at the time, in order', async () => {
  const { worker, heard } = begin(something());
  await worker.takeResumption();
  expect(heard).toEqual([abandoned(1), abandoned(10)]);
  const later: Report[] = [];
  worker.listen((report) => later.push(report));
  await worker.step({ do: 'disconnect' });
  await worker.step({ do: 'disconnect' });
  expect(heard).toEqual([abandoned(1), abandoned(10)]);
  expect(later).toEqual([storm(1), storm(2)]);
  await worker.end();
});

test('what a worker has resumed is told once', async () => {
  const { worker } = begin(something());
  expect(await worker.takeResumption()).toEqual({ functions: [sbdf], ring: { grantRef: 8, port: 2 } });
  expect(await worker.takeResumption()).toBeUndefined();
  await worker.end();
});

test('a worker that was given nothing to resume tells of nothing', async () => {
  const { worker } = begin();
  expect(await worker.takeResumption()).toBeUndefined();
  await worker.end();
});

test('a worker that dies before it has resumed anything says that it serves nothing', async () => {
  const pool = makePool(1, join(import.meta.dirname, 'crashing-worker.mjs'));
  onTestFinished(() => pool.destroy());
  const worker = new GuestWorker(pool, 5, where, nobody, something());
  expect(await worker.takeResumption()).toEqual({ functions: [], ring: undefined });
  expect(await worker.over).toBe('died');
});
