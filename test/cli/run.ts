/** Runs the command line as it is installed: the bundled program in a process of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { open } from './reader.ts';

const program = fileURLToPath(new URL('../../dist/bundle/main.js', import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type Env = Readonly<Record<string, string>>;
export type Running = ChildProcessByStdio<null, Readable, Readable>;

/** Starts the program, in a process group of its own if told so; it is ended with the test. */
export function start(args: readonly string[], env: Env = {}, ownGroup = false): Running {
  if (!existsSync(program)) throw new Error('build first: npm run build');
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH, ...env },
    detached: ownGroup,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

export async function finish(child: Running): Promise<Result> {
  const closed = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code, signal] = (await closed) as [number | null, NodeJS.Signals | null];
  return { code, signal, stdout, stderr };
}

/** Runs the program in this process and returns what it prints; rejects with what made it fail. */
export async function runHere(words: readonly string[], env: Env = {}): Promise<string> {
  const { reader, output } = open();
  await runProgram(words, env, { output, signal: new AbortController().signal });
  return reader.text.replace(/\n$/, '');
}

export const run = (args: readonly string[], env: Env = {}): Promise<Result> => finish(start(args, env));

export async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'pciback-cli-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A captured sysfs tree of functions of which only the first 64 bytes are known. */
export async function makeTree(
  functions: Readonly<
    Record<string, { ids: [vendor: number, device: number]; classCode: number; bridgeTo?: number }>
  >,
): Promise<string> {
  const directory = await makeDirectory();
  for (const [sbdf, { ids, classCode, bridgeTo }] of Object.entries(functions)) {
    const config = Buffer.alloc(64);
    config.writeUInt16LE(ids[0], 0);
    config.writeUInt16LE(ids[1], 2);
    config.writeUInt32LE(classCode * 0x100, 8);
    if (bridgeTo !== undefined) {
      config[0x0e] = 1;
      config[0x19] = bridgeTo;
    }
    await mkdir(join(directory, sbdf));
    await writeFile(join(directory, sbdf, 'config'), config);
  }
  return directory;
}
