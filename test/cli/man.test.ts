import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';

const manual = readFileSync(new URL('../../man/pciback.8', import.meta.url), 'utf8');

it.each(commands)('describes $name and its options', async (entry) => {
  const { options } = await entry.load();
  expect(manual).toContain(`\n.It Cm ${entry.name}\n`);
  const described = [...manual.matchAll(/^\.It Fl (?:h , )?-([a-z-]+)/gm)].map(([, option]) => option);
  expect(described).toEqual(expect.arrayContaining(Object.keys(options)));
});
