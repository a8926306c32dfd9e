import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

test('the supervisor of the README runs, and leaves nothing running', async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const [, program] = /<!-- example: supervisor -->\n```js\n(.*?)```/s.exec(readme) ?? [];
  // It has to lie inside the package to import it by name.
  const file = join(root, 'dist', `readme-${process.pid}.mjs`);
  const directory = await mkdtemp(join(tmpdir(), 'pciback-readme-'));
  try {
    await writeFile(file, program ?? '');
    const child = spawn(process.execPath, [file, directory], { stdio: ['ignore', 'pipe', 'pipe'] });
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (printed += text));
    const [code] = (await once(child, 'close')) as [number | null];
    expect(printed).toMatch(/^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] is ready for a guest$/m);
    expect(printed).toMatch(
      /^\[\{"sbdf":"[^"]+","state":"hidden","resettingSince":null,"owner":null,"reason":null\}\]$/m,
    );
    expect(printed).toMatch(/^backend\.state {2}draining stopped$/m);
    expect(code).toBe(0);
    expect(await readdir(join(directory, 'xenstored'))).toEqual([]);
  } finally {
    await rm(file, { force: true });
    await rm(directory, { recursive: true, force: true });
  }
});
