import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';

const manual = readFileSync(new URL('../../man/pciback.8', import.meta.url), 'utf8');

it.each(commands)('describes $name and its options', async ({ name, load }) => {
  const { options } = await load();
  expect(manual).toContain(`\n.It Cm ${name}\n`);
  const described = [...manual.matchAll(/^\.It (?:Fl h , )?Fl -?([a-z-]+)|^\.It Fl h , -([a-z]+)/gm)].map(
    ([, first, second]) => first ?? second,
  );
  expect(described).toEqual(expect.arrayContaining(Object.keys(options)));
});
