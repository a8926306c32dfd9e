/** Commands that the terminal interrupts: they end by the signal, soon, and leave nothing behind. */
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LoopbackHost } from '../foreign/daemon.ts';
import { finish, makeDirectory, run, start } from './run.ts';

it.each(['Coming up', 'Starting two guests', 'Killing a worker'])(
  'demo leaves nothing behind when it is interrupted while %s',
  async (heading) => {
    const TMPDIR = await makeDirectory();
    const child = start(['demo'], { TMPDIR });
    child.stdout.on('data', (text: Buffer) => {
      if (text.toString().includes(heading)) child.kill('SIGINT');
    });
    const { signal, stderr } = await finish(child);
    expect([signal, stderr]).toEqual(['SIGINT', '']);
    expect(await readdir(TMPDIR)).toEqual([]);
  },
);

it('an interruption that is told twice, as by a terminal and by npm, is one', async () => {
  const TMPDIR = await makeDirectory();
  const child = start(['demo'], { TMPDIR });
  child.stdout.on('data', (text: Buffer) => {
    if (text.toString().includes('Starting two guests')) child.kill('SIGINT');
    if (text.toString().includes('Closing down')) child.kill('SIGINT');
  });
  expect((await finish(child)).signal).toBe('SIGINT');
  expect(await readdir(TMPDIR)).toEqual([]);
});

it('another one, later, ends at once what hangs', async () => {
  const directory = await makeDirectory();
  const xenstored = start(['xenstored', '--loopback', directory]);
  await once(xenstored.stdout, 'data');
  const child = start(['serve', '--loopback', directory]);
  child.stdout.on('data', (text: Buffer) => {
    if (text.toString().includes('"backend.ready"')) {
      xenstored.kill('SIGSTOP');
      child.kill('SIGINT');
    }
    if (text.toString().includes('"draining"')) setTimeout(() => child.kill('SIGTERM'), 1000);
  });
  expect((await finish(child)).signal).toBe('SIGTERM');
});

it('serve ends in an orderly way when it is interrupted while it comes up', async () => {
  const directory = await makeDirectory();
  const child = start(['serve', '--loopback', directory]);
  child.stdout.once('data', () => child.kill('SIGTERM'));
  const { code, stdout, stderr } = await finish(child);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).not.toContain('backend.ready');
  expect((await run(['status', '--loopback', directory])).stderr).toMatch(/^pciback: NO-DAEMON: /);
});

it.each(['serve', 'serve --stand-in'])(
  '%s leaves nothing behind that runs when its terminal is interrupted',
  async (words) => {
    const directory = await makeDirectory();
    const child = start([...words.split(' '), '--loopback', directory], {}, true);
    const last = words === 'serve' ? '"backend.ready"' : '"backend.standIn"';
    child.stdout.on('data', (text: Buffer) => {
      // As a terminal does: to the whole group.
      if (child.pid !== undefined && text.toString().includes(last)) process.kill(-child.pid, 'SIGINT');
    });
    // A stand-in has the same standard output: it is over, too, when this ends.
    const { code, stdout, stderr } = await finish(child);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('"to":"stopped"');
    expect(await readdir(join(directory, 'xenstored'))).toEqual([]);
    expect(await readdir(join(directory, 'evt/0'))).toEqual([]);
    expect(await readdir(join(directory, 'state'))).not.toContain('control.sock');
  },
);

it.each(['serve', 'serve --stand-in'])('%s goes on when its terminal is closed', async (words) => {
  const directory = await makeDirectory();
  const child = start([...words.split(' '), '--loopback', directory], {}, true);
  const last = words === 'serve' ? '"backend.ready"' : '"backend.standIn"';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (text: Buffer) => {
      if (text.toString().includes(last)) resolve();
    });
  });
  // As the kernel does: to the whole group.
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGHUP');
  expect((await run(['status', '--loopback', directory])).code).toBe(0);
  child.kill('SIGTERM');
  expect((await finish(child)).code).toBe(0);
});

it('demo leaves nothing behind when its terminal is closed', async () => {
  const TMPDIR = await makeDirectory();
  const child = start(['demo'], { TMPDIR });
  child.stdout.on('data', (text: Buffer) => {
    if (text.toString().includes('Starting two guests')) child.kill('SIGHUP');
  });
  expect((await finish(child)).signal).toBe('SIGHUP');
  expect(await readdir(TMPDIR)).toEqual([]);
});

it.each([['explain', '03:00.0'], ['list'], ['reset', '03:00.0', '--dry-run'], ['watch']])(
  '%s does not wait for a daemon that does not answer',
  async (...words) => {
    const directory = await makeDirectory();
    await mkdir(join(directory, 'state'));
    const asked = new Promise<void>((resolve) => {
      const daemon = createServer((socket) => socket.once('data', () => resolve()));
      daemon.listen(join(directory, 'state', 'control.sock'));
      onTestFinished(() => void daemon.close());
    });
    const child = start(words, { PCIBACK_LOOPBACK: directory });
    const finished = finish(child);
    await asked;
    const interrupted = performance.now();
    child.kill('SIGINT');
    const { code, signal, stderr } = await finished;
    expect(performance.now() - interrupted).toBeLessThan(40_000);
    // A command that waits until its call is given up says so, and ends with an exit code.
    expect([code ?? signal, stderr]).toEqual([words[0] === 'watch' ? 0 : 'SIGINT', '']);
  },
);

it('watch ends when its reader has gone', async () => {
  await using host = await LoopbackHost.make();
  await host.serve('');
  const child = start(['watch'], { PCIBACK_LOOPBACK: host.directory });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const ended = once(child, 'exit');
  await host.pciback('hide', '03:00.0');
  expect(await ended).toEqual([0, null]);
});
