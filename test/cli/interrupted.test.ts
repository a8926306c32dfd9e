/** Commands that the terminal interrupts: they end by the signal, soon, and leave nothing behind. */
import { readdir } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { finish, makeDirectory, start } from './run.ts';

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
