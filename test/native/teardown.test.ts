/** Every scenario of programs/teardown.mjs in a process of its own, since what can go wrong is that the process aborts. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, test, type TestContext } from 'vitest';
import { longest, patience } from '../bounds.ts';
import { addonPath, LoopbackDirectory } from '../host/loopback-setting.ts';

const program = join(import.meta.dirname, 'programs/teardown.mjs');
const scenarios = JSON.parse(
  execFileSync(process.execPath, [program, addonPath], { encoding: 'utf8' }),
) as string[];
const fatal = 'a bus error from elsewhere';

interface Ending {
  readonly output: string;
  readonly errors: string;
  readonly code: number | null;
  readonly signal: string | null;
}

async function run(scenario: string, { onTestFinished }: TestContext): Promise<Ending> {
  const { path } = new LoopbackDirectory(onTestFinished);
  const child = spawn(process.execPath, ['--expose-gc', program, addonPath, path, scenario], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: longest,
    killSignal: 'SIGKILL',
  });
  const [output, errors, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null, string | null]>,
  ]);
  return { output, errors, code, signal };
}

describe.concurrent('teardown', { timeout: longest + patience }, () => {
  test.for(scenarios.filter((name) => name !== fatal))('%s', async (scenario, context) => {
    expect(await run(scenario, context)).toEqual({ output: 'fine\n', errors: '', code: 0, signal: null });
  });

  test(fatal, async (context) => {
    expect(await run(fatal, context)).toMatchObject({ output: '', code: null, signal: 'SIGBUS' });
  });
});
