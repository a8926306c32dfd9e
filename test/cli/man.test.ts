import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';

const manual = readFileSync(new URL('../../man/pciback.8', import.meta.url), 'utf8');
const [, synopsis = '', description = ''] = manual.split(/^\.Sh (?:SYNOPSIS|DESCRIPTION)$/m);

/** How a command is written: what follows `.Nm`; commands that are written alike share it, as in `.Cm hide | unhide`. */
const usageOf = (name: string): string | undefined =>
  synopsis.split('.Nm\n').find((usage) => /^\.Cm (.*)/.exec(usage)?.[1]?.split(' | ').includes(name));

/** Names of options where they are mentioned, as in `.Op Fl -loopback Ar dir | Fl -xen`. */
const optionsIn = (text: string, pattern: RegExp): readonly (string | undefined)[] =>
  [...text.matchAll(pattern)].map(([, option]) => option);

it.each(commands)('describes $name and its options', async (entry) => {
  const { options } = await entry.load();
  expect(description).toContain(`\n.It Cm ${entry.name}\n`);
  const names = Object.keys(options);
  const written = optionsIn(usageOf(entry.name) ?? '', /Fl -([a-z-]+)/g);
  // Every command has --json and --help, whether it says so or not.
  expect(new Set([...written, 'json'])).toEqual(new Set([...names, 'json']));
  expect(optionsIn(description, /^\.It Fl (?:h , )?-([a-z-]+)/gm)).toEqual(
    expect.arrayContaining([...names, 'json', 'help']),
  );
});
