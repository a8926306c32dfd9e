import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Group and session of a process, from what the kernel says of it (proc_pid_stat(5), fields 5 and 6). */
const whereabouts = (stat: string): readonly number[] =>
  stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(2, 4)
    .map(Number);

test('a process leaves its group, but not its session', () => {
  const sources = new URL('../../src/host/index.ts', import.meta.url).href;
  const program = `
    const { leaveProcessGroup } = await import(${JSON.stringify(sources)});
    leaveProcessGroup();
    const { readFileSync } = await import('node:fs');
    console.log(process.pid, readFileSync('/proc/self/stat', 'utf8'));
  `;
  const options = ['--import', 'tsx', '--input-type=module', '--eval', program];
  const [, pid = '', stat = ''] =
    /^(\d+) (.*)/.exec(execFileSync(process.execPath, options, { encoding: 'utf8' })) ?? [];
  const [, session] = whereabouts(readFileSync('/proc/self/stat', 'utf8'));
  expect(whereabouts(stat)).toEqual([Number(pid), session]);
});
