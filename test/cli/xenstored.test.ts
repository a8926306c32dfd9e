import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeEach, expect, it } from 'vitest';
import { XenstoreClient } from '../../src/xenstore/index.ts';
import { makeDirectory, run, type Running, start } from './run.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeDirectory();
});

async function startReady(): Promise<{ child: Running; line: string }> {
  const child = start(['xenstored', '--loopback', directory]);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, line };
}

it('serves from the moment it says so, and ends on SIGTERM with nothing left', async () => {
  const { child, line } = await startReady();
  expect(JSON.parse(line)).toEqual({ type: 'xenstored.ready', directory, pid: child.pid });
  const socket = join(directory, 'xenstored', 'socket');
  const client = await XenstoreClient.connect({ path: socket });
  await client.write('/a/b', 'c');
  expect(await client.read('/a/b')).toBe('c');
  client.close();
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(existsSync(socket)).toBe(false);
});

it('outlives whoever reads its output', async () => {
  const { child } = await startReady();
  child.stdout.destroy();
  child.stderr.destroy();
  const client = await XenstoreClient.connect({ path: join(directory, 'xenstored', 'socket') });
  expect(await client.isIntroduced(0)).toBe(true);
  client.close();
  expect(child.exitCode).toBeNull();
});

it('ends by itself when its directory is gone', async () => {
  const { child } = await startReady();
  const ended = once(child, 'exit');
  await rm(directory, { recursive: true });
  expect(await ended).toEqual([0, null]);
});

it('leaves a directory alone that another one serves', async () => {
  await startReady();
  const { code, stderr } = await run(['xenstored', '--loopback', directory]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^pciback: DAEMON-RUNNING: /);
});

it('says what is wrong with the directory', async () => {
  const file = join(directory, 'file');
  await writeFile(file, '');
  const { code, stderr } = await run(['xenstored', '--loopback', file]);
  expect(code).toBe(3);
  expect(stderr).toMatch(/^pciback: BAD-DIRECTORY: /);
});
