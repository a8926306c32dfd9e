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
