import { once } from 'node:events';
import { join } from 'node:path';
import { BroadcastChannel, MessageChannel, type MessagePort } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { endingThreads, makePool } from '../../src/backend/pool.ts';
import type { FromWorker } from '../../workers/messages.ts';

const obedient = join(import.meta.dirname, 'obedient-worker.mjs');

interface Task {
  readonly threadId: number;
  readonly over: Promise<void>;
  readonly port: MessagePort;
}

function begin(threads: number) {
  const pool = makePool(threads, obedient);
  onTestFinished(() => pool.destroy());

  /** Resolves when the task has found its thread. */
  const run = async (): Promise<Task> => {
    const { port1, port2 } = new MessageChannel();
    const task = { domid: 1, platform: { kind: 'loopback', directory: '/' }, port: port2 } as const;
    const over = pool.run(task, { transferList: [port2] });
    over.catch(() => undefined);
    const [said] = (await once(port1, 'message')) as [FromWorker];
    return { threadId: said.is === 'started' ? said.threadId : expect.unreachable(), over, port: port1 };
  };
  const end = async ({ port, over }: Task): Promise<void> => {
    port.postMessage({ do: 'end', id: 1 });
    await over;
  };
  const kill = async (threadId: number): Promise<void> => {
    await pool.threads.find((thread) => thread.threadId === threadId)?.terminate();
  };
  const fill = async (tasks: number): Promise<Task[]> => {
    const all: Task[] = [];
    while (all.length < tasks) all.push(await run());
    return all;
  };
  return { pool, run, end, kill, fill };
}

function markEnding(threadId: number): void {
  endingThreads.add(threadId);
  onTestFinished(() => void endingThreads.delete(threadId));
}

/** Holds up every thread that is loaded from now on; opens when it is asked to. */
function holdLoading() {
  const name = `gate ${process.pid}`;
  vi.stubEnv('PCIBACK_TEST_GATE', name);
  const gate = new BroadcastChannel(name);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    gate.close();
  });
  const isLoading = new Promise<void>((resolve) => {
    gate.onmessage = () => resolve();
  });
  return { isLoading, open: () => gate.postMessage('open') };
}

test('tasks are spread over the threads, and the next one goes where the fewest are', async () => {
  const { pool, run, end, fill } = begin(3);
  const tasks = await fill(6);
  const all = pool.threads.map(({ threadId }) => threadId);
  const shares = all.map((id) => tasks.filter(({ threadId }) => threadId === id).length);
  expect(shares).toEqual([2, 2, 2]);
  const [, second = expect.unreachable()] = tasks;
  await end(second);
  expect((await run()).threadId).toBe(second.threadId);
});

test('no task goes to a thread that has begun to end, however few it has', async () => {
  const { pool, run, fill } = begin(2);
  const [{ threadId: ending } = expect.unreachable()] = await fill(1);
  markEnding(ending);
  const other = pool.threads.find(({ threadId }) => threadId !== ending)?.threadId;
  const tasks = await fill(4);
  expect(tasks.map(({ threadId }) => threadId)).toEqual([other, other, other, other]);
  endingThreads.delete(ending);
  expect((await run()).threadId).toBe(ending);
});

test('no task goes to a thread that is still being loaded in the place of a dead one', async () => {
  const { pool, run, kill, fill } = begin(2);
  const [{ threadId: dead } = expect.unreachable(), { threadId: other } = expect.unreachable()] =
    await fill(2);
  const { isLoading, open } = holdLoading();
  await kill(dead);
  await isLoading;
  const tasks = await fill(3);
  expect(tasks.map(({ threadId }) => threadId)).toEqual([other, other, other]);
  const created = once(pool, 'workerCreate');
  open();
  await created;
  const { threadId } = await run();
  expect([dead, other]).not.toContain(threadId);
});

test('a task that finds no thread waits for the next one', async () => {
  const { pool, run, kill, fill } = begin(1);
  const [{ threadId: dead } = expect.unreachable()] = await fill(1);
  markEnding(dead);
  const waiting = [run(), run()];
  expect(pool.queueSize).toBe(2);
  await kill(dead);
  const [first, second] = await Promise.all(waiting);
  expect(first?.threadId).not.toBe(dead);
  expect(second?.threadId).toBe(first?.threadId);
  expect(pool.queueSize).toBe(0);
});

test('tasks of the first moment are spread over all threads', async () => {
  const { run } = begin(3);
  const tasks = await Promise.all([run(), run(), run()]);
  expect(new Set(tasks.map(({ threadId }) => threadId)).size).toBe(3);
});
