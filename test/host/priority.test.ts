import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../dist/src/host/priority.js', import.meta.url));

/** In a process of its own, whose priority nobody minds; more than the lowest anybody may ask for. */
const program = `
  import { readFileSync, readdirSync } from 'node:fs';
  import { Worker } from 'node:worker_threads';
  import { setPriorityOfThreads } from ${JSON.stringify(source)};
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
  worker.once('online', () => {
    setPriorityOfThreads(7);
    const nice = readdirSync('/proc/self/task').map((thread) => {
      const fields = readFileSync('/proc/self/task/' + thread + '/stat', 'utf8').replace(/.*\\) /, '').split(' ');
      return fields[16];
    });
    console.log(nice.length > 4, [...new Set(nice)].join());
    process.exit();
  });
`;

test('every thread has it, the ones that V8 and libuv have made too', () => {
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect(stdout.trim()).toBe('true 7');
});

/** Does what it is told, and answers with its priority, its scheduling policy (proc(5)), and what came of going ahead. */
const worker = `
  import { readFileSync } from 'node:fs';
  import { getPriority, setPriority } from 'node:os';
  import { parentPort } from 'node:worker_threads';
  import { goAhead } from ${JSON.stringify(source)};
  parentPort.on('message', ({ to, isAhead }) => {
    if (to !== undefined) setPriority(0, to);
    const done = isAhead === undefined ? undefined : goAhead(isAhead);
    const fields = readFileSync('/proc/thread-self/stat', 'utf8').replace(/.*\\) /, '').split(' ');
    parentPort.postMessage({ nice: getPriority(0), policy: Number(fields[38]), done });
  });
`;

const besideWorker = (main: string): string => `
  import { once } from 'node:events';
  import { getPriority, setPriority } from 'node:os';
  import { Worker } from 'node:worker_threads';
  import { setPriorityOfThreads } from ${JSON.stringify(source)};
  const worker = new Worker(${JSON.stringify(worker)}, { eval: true, execArgv: ['--input-type=module'] });
  const tell = async (message) => {
    worker.postMessage(message);
    return (await once(worker, 'message'))[0];
  };
  await tell({});
  ${main}
  process.exit();
`;

/** Without a limit that lets ordinary users have something of real time. */
const run = (main: string): unknown => {
  const node = [process.execPath, '--input-type=module', '-e', besideWorker(main)];
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -r 0 && exec "$@"', 'sh', ...node], { encoding: 'utf8' });
  return JSON.parse(stdout);
};

test('threads keep their distance from the main thread, as far as there is room', () => {
  const ranks = run(`
    setPriority(0, 5);
    await tell({ to: 8 });
    setPriorityOfThreads(7);
    const apart = [getPriority(0), (await tell({})).nice];
    setPriorityOfThreads(18);
    console.log(JSON.stringify([...apart, getPriority(0), (await tell({})).nice]));
  `);
  expect(ranks).toEqual([7, 10, 18, 19]);
});

/** Goes ahead and back in a worker, twice each. */
const thereAndBack = `
  const steps = [];
  for (const isAhead of [true, true, false, false]) {
    const { policy, done } = await tell({ isAhead });
    steps.push([policy, done]);
  }
  console.log(JSON.stringify(steps));
`;
const ordinary = 0;
const roundRobin = 2;

test('a thread that may goes ahead of all that is ordinary, and back', () => {
  const steps = run(thereAndBack) as [number, boolean][];
  const isAllowed = steps[0]?.[1] === true;
  const ahead = [isAllowed ? roundRobin : ordinary, isAllowed];
  expect(steps).toEqual([ahead, ahead, [ordinary, true], [ordinary, true]]);
});

test('a thread that may not go ahead stays where it is', () => {
  const asNobody = `if (process.geteuid() === 0) process.setuid(65534); ${thereAndBack}`;
  const stays = [ordinary, false];
  expect(run(asNobody)).toEqual([stays, stays, [ordinary, true], [ordinary, true]]);
});
