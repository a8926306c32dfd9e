/** Runs tests in a tree, and tells what they say. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import type { Tree } from './tree.ts';

export type Verdict =
  | { readonly is: 'green' }
  /** A test has failed; `late` when that was because it did not come to its end. */
  | { readonly is: 'failed'; readonly test: string; readonly late: boolean }
  /** Files of tests could not be run at all, which says nothing of a protection. */
  | { readonly is: 'broken'; readonly why: string };

/** What vitest reports as JSON, as far as it is of interest. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

/** Milliseconds for one test, and for all of a trial: without a protection something may wait for ever. */
const limits = { test: 60_000, trial: 150_000 };
const lateTest = /^(?:Error: )?(?:Test|Hook) timed out in /;

export interface Tests {
  readonly files: readonly string[];
  /** Only those whose names match this regular expression. */
  readonly named?: string | undefined;
  /** Milliseconds; none when all of them are to come to an end. */
  readonly limit?: number;
}

/** Runs these tests; ends with the first that fails. */
export async function runTests(tree: Tree, { files, named, limit = limits.trial }: Tests): Promise<Verdict> {
  const output = tree.in('mutants.json');
  await rm(output, { force: true });
  const options = ['--bail=1', ...(named === undefined ? [] : ['-t', named])];
  if (limit < Infinity) options.push(`--testTimeout=${limits.test}`, `--hookTimeout=${limits.test}`);
  const report = ['--reporter=json', `--outputFile.json=${output}`];
  const program = tree.in('node_modules/vitest/vitest.mjs');
  // A process group, so that what a test has started ends along with it.
  const child = spawn(process.execPath, [program, 'run', ...options, ...report, ...files], {
    cwd: tree.path,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // All of it has ended.
    }
  };
  process.once('exit', kill);
  let isLate = false;
  const giveUp = (): void => {
    isLate = true;
    kill();
  };
  const alarm = limit < Infinity ? setTimeout(giveUp, limit) : undefined;
  const [said] = await Promise.all([
    Promise.all([text(child.stdout), text(child.stderr)]),
    once(child, 'close'),
  ]);
  clearTimeout(alarm);
  process.off('exit', kill);
  kill();
  if (isLate) return { is: 'failed', test: files.join(', '), late: true };
  try {
    return verdictOf(JSON.parse(await readFile(output, 'utf8')) as Report, tree);
  } catch {
    return { is: 'broken', why: lastLines(said.join('\n')) };
  }
}

function verdictOf({ testResults }: Report, tree: Tree): Verdict {
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find(({ status }) => status === 'failed');
    if (!failed) continue;
    const late = (failed.failureMessages ?? []).some((message) => lateTest.test(message));
    return { is: 'failed', test: `${name.replace(`${tree.path}/`, '')}: ${failed.fullName}`, late };
  }
  const unrun = testResults.find(({ message }) => message !== '');
  if (unrun) return { is: 'broken', why: lastLines(unrun.message) };
  const run = testResults.flatMap(({ assertionResults }) => assertionResults);
  const count = run.filter(({ status }) => status === 'passed').length;
  return count > 0 ? { is: 'green' } : { is: 'broken', why: 'there were no tests' };
}

const lastLines = (output: string): string =>
  stripVTControlCharacters(output).trim().split('\n').slice(-15).join('\n');
