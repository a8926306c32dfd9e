import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { text as readAll } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { guessKind, kinds, readers } from '../../src/cli/check/kinds.ts';
import { makeDirectory, run, runHere } from './run.ts';

async function fileOf(name: string, text: string): Promise<string> {
  const file = join(await makeDirectory(), name);
  await writeFile(file, text);
  return file;
}

/** What check prints for a file without mistakes; its name is left out. */
async function meaningOf(name: string, text: string, ...options: string[]): Promise<string> {
  const file = await fileOf(name, text);
  return (await runHere(['check', file, ...options])).replaceAll(file, name);
}

/** What it prints for one with mistakes. */
async function mistakesIn(name: string, text: string): Promise<{ shown: string; line: string }> {
  const file = await fileOf(name, text);
  const { code, stdout, stderr } = await run(['check', file]);
  expect(code).toBe(1);
  return { shown: stdout.replaceAll(file, name), line: stderr.replaceAll(file, name) };
}

describe('an xl.cfg', () => {
  it('is told function by function', async () => {
    const text = `name = "web"
memory = 1024
pci = [ '03:00.0', # the network
        '04:00.*@5,seize=1', 'pci_0000_06_00_0,permissive=0', "name=disk,rdm_policy=relaxed" ]
pci_permissive = 1
`;
    expect(await meaningOf('web.cfg', text)).toBe(`web.cfg, read as xl.cfg:
guest web gets:
SPEC                           FUNCTION                               SLOT  OPTIONS
03:00.0                        0000:03:00.0                           any   permissive
04:00.*@5,seize=1              0000:04:00.*, all functions of a slot  5     permissive, seize
pci_0000_06_00_0,permissive=0  0000:06:00.0                           any   -
name=disk,rdm_policy=relaxed   the function called disk               any   permissive, rdm_policy=relaxed`);
  });

  it('without functions is no mistake', async () => {
    expect(await meaningOf('web.cfg', 'name = "web"\n')).toBe(
      'web.cfg, read as xl.cfg:\nguest web gets no PCI functions',
    );
  });

  it('has a mark under each mistake, in the order in which they stand', async () => {
    const text = `pci = [ '03:00.8', '04:00.0,permissive=yes' ]
pci_permissive = "on"
`;
    expect(await mistakesIn('web.cfg', text)).toEqual({
      shown: `web.cfg:1:16: there is no function 8; function numbers go from 0 to 7; an address is [segment:]bus:device.function in hexadecimal, as in 0000:03:00.0
  pci = [ '03:00.8', '04:00.0,permissive=yes' ]
                 ^
web.cfg:1:40: 'yes' is no value of permissive; xl would take it for off; write permissive=1 or permissive=0
  pci = [ '03:00.8', '04:00.0,permissive=yes' ]
                                         ^^^
web.cfg:2:18: pci_permissive is not a number; write pci_permissive = 1 or pci_permissive = 0
  pci_permissive = "on"
                   ^^^^
`,
      line: 'pciback: CHECK-FAILED: web.cfg, read as xl.cfg, has 3 mistakes; mend it where it is marked, or say with --kind what it is\n',
    });
  });

  it('is taken with a warning where another program would misread it', async () => {
    expect(await meaningOf('web.cfg', "pci = [ '03:00.0,permissive=1x' ]\n"))
      .toBe(`web.cfg:1:30: warning: 'x' after the number counts for nothing; write permissive=1 or permissive=0
  pci = [ '03:00.0,permissive=1x' ]
                               ^
web.cfg, read as xl.cfg:
the guest gets:
SPEC                   FUNCTION      SLOT  OPTIONS
03:00.0,permissive=1x  0000:03:00.0  any   permissive`);
  });
});

describe('what a boot loader reads', () => {
  it('is told entry by entry of a boot.cfg', async () => {
    const text = `menu=Xen:load /netbsd-XEN3_DOM0.gz pciback.hide=(03:00.0)(04:00.1);multiboot /xen.gz dom0_mem=512M
menu=Plain:boot netbsd
menu=Other:load /netbsd-TEST bootdev=wd0a;multiboot /xen.gz
default=3
`;
    expect(await meaningOf('boot.cfg', text)).toBe(`boot.cfg, read as boot.cfg:
menu entry "Xen" loads /netbsd-XEN3_DOM0.gz
  hides 0000:03:00.0
  hides 0000:04:00.1
menu entry "Other" loads /netbsd-TEST, by default
  hides nothing`);
  });

  it('is told of a command line', async () => {
    const text = 'root=/dev/sda1 ro xen-pciback.hide=(03:00.0)(0000:04:*.*) xen-pciback.passthrough=1\n';
    expect(await meaningOf('cmdline', text)).toBe(`cmdline, read as command-line:
hides 0000:03:00.0
hides 0000:04:*.*, all functions of a bus
guests see functions where the host has them`);
  });

  it('is marked where Linux would seize nothing at all', async () => {
    const { shown, line } = await mistakesIn('cmdline', 'quiet xen-pciback.hide=(82.0.0)\n');
    expect(shown).toContain('\n  quiet xen-pciback.hide=(82.0.0)\n');
    expect(line).toContain('CHECK-FAILED: cmdline, read as command-line, has one mistake;');
  });

  it('is told of a hide list', async () => {
    expect(await meaningOf('hide', '(03:00.0), 04:00.*\n')).toBe(`hide, read as hide-list:
hides 0000:03:00.0
hides 0000:04:00.*, all functions of a slot`);
  });
});

describe('for programs', () => {
  it('there is one document, with places counted from 1', async () => {
    const file = await fileOf('web.cfg', "name='web'\npci = [ '03:00.0@40', '04:00.0@2' ]\n");
    const { code, stdout } = await run(['check', '--json', file]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      file,
      kind: 'xl.cfg',
      ok: false,
      problems: [
        {
          line: 2,
          column: 18,
          length: 2,
          what: "there is no slot '40'",
          remedy: 'slots of the guest are hexadecimal, 1 to 1f, or 0 for any',
        },
      ],
      warnings: [],
      meaning: {
        guest: 'web',
        devices: [{ spec: '04:00.0@2', address: '0000:04:00.0', slot: 2, options: {} }],
      },
    });
  });

  it('a file can come on standard input', async () => {
    const program = new URL('../../dist/bundle/main.js', import.meta.url).pathname;
    const child = spawn(process.execPath, [program, 'check', '--json', '-'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end('(03:00.0)\n');
    expect(JSON.parse(await readAll(child.stdout))).toMatchObject({
      file: '-',
      kind: 'hide-list',
      ok: true,
      meaning: { hide: ['0000:03:00.0'] },
    });
  });
});

describe('what a file is', () => {
  it.each([
    ['/etc/xen/web.cfg', "pci = ['03:00.0']", 'xl.cfg'],
    ['/boot.cfg', '', 'boot.cfg'],
    ['saved', 'banner=Welcome\nmenu=Xen:load /netbsd', 'boot.cfg'],
    ['web', 'name = "web"\npci = [ "03:00.0" ]\n', 'xl.cfg'],
    ['web', '# a guest\nmemory = 512\nvcpus = 2\n', 'xl.cfg'],
    ['/proc/cmdline', 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet', 'command-line'],
    ['/proc/cmdline', 'BOOT_IMAGE=/vmlinuz xen-pciback.hide=(03:00.0)', 'command-line'],
    ['x', 'PCIBACK.HIDE=(03:00.0)', 'command-line'],
    ['x', '(03:00.0)(04:00.*)', 'hide-list'],
    ['x', '03:00.0, 04:00.0', 'hide-list'],
    ['x', '(what is this', 'hide-list'],
  ])('is guessed: %s with %j is %s', (file, text, kind) => {
    expect(guessKind(file, text)).toBe(kind);
  });

  it('is what --kind says', async () => {
    const { code, stderr } = await run([
      'check',
      await fileOf('web.cfg', "pci = ['x']"),
      '--kind',
      'hide-list',
    ]);
    expect([code, /, read as (\S+),.*; (.*)\n/.exec(stderr)?.slice(1)]).toEqual([
      1,
      ['hide-list', 'mend it where it is marked'],
    ]);
    await expect(runHere(['check', 'x', '--kind', 'xlcfg'])).rejects.toMatchObject({
      reason: 'USAGE',
      remedy: 'did you mean xl.cfg? kinds are xl.cfg, boot.cfg, command-line, hide-list',
    });
  });

  it('does not matter when it cannot be read', async () => {
    const { code, stderr } = await run(['check', '/nonexistent']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^pciback: BAD-FILE: \/nonexistent cannot be read: ENOENT; name an xl\.cfg/);
  });

  it('is not read for ever', async () => {
    const { code, stderr } = await run(['check', '/dev/zero']);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^pciback: BAD-FILE: \/dev\/zero cannot be read: it is longer than 1 MiB; name an xl/,
    );
  });

  it('is shown in short lines, however long its own are', async () => {
    const file = await fileOf('web.cfg', `pci = [ '${'1'.repeat(100_000)}:00.0', '${'x'.repeat(100_000)}' ]`);
    const { code, stdout, stderr } = await run(['check', file]);
    expect(code).toBe(1);
    expect(stdout).toContain('a bus number of 100000 digits is none');
    expect(stdout.length + stderr.length).toBeLessThan(5000);
  });

  it('is read without a hitch, whatever it holds', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc
        .array(
          fc.constantFrom('pci', '=', '[', ']', "'", '"', '(', ')', '03:00.0', ',', '\n', ' ', '*', 'menu='),
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(hostile, fc.constantFrom(...kinds), (text, kind) => {
        expect(kinds).toContain(guessKind('x', text));
        const { problems, warnings } = readers[kind](text);
        for (const { at, length } of [...problems, ...warnings]) {
          expect(at).toBeGreaterThanOrEqual(0);
          expect(at + length).toBeLessThanOrEqual(text.length);
        }
      }),
      { numRuns: 500 },
    );
  });
});
