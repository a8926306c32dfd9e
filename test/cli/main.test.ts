import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { failureLine } from '../../src/cli/failure.ts';
import { PcibackError } from '../../src/errors.ts';
import { makeDirectory, run, runHere } from './run.ts';

describe('help', () => {
  it.each([[[]], [['--help']], [['-h']], [['help']]])('is printed for %j', async (words) => {
    const printed = await runHere(words);
    for (const { name, summary } of commands)
      expect(printed).toMatch(new RegExp(`^  ${name} +${summary}$`, 'm'));
  });

  it.each(commands.map(({ name }) => name))('teaches %s, with an example', async (name) => {
    const printed = await runHere([name, '--help']);
    expect(printed).toContain(`usage: pciback ${name}`);
    expect(printed).toMatch(new RegExp(`^  # .+\\n  pciback ${name}\\b`, 'm'));
    const [, options = ''] = /^Options:\n((?: .*\n)+)/m.exec(printed) ?? [];
    expect(options).toContain('  -h, --help');
    expect(options.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(await runHere(['help', name])).toBe(printed);
  });

  it('comes before what is missing', async () => {
    expect(await runHere(['attach', '-h'])).toContain('usage: pciback attach');
  });

  it('goes to standard output, exit code 0', async () => {
    const { code, stdout, stderr } = await run(['help', 'attach']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('usage: pciback attach DOMID SPEC...');
  });

  it('says the version', async () => {
    const { code, stdout } = await run(['--version']);
    expect([code, stdout]).toEqual([0, `${await runHere(['--version'])}\n`]);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('what cannot be understood', () => {
  it.each([
    [
      ['lsit'],
      "pciback: USAGE: there is no command 'lsit'; did you mean list? pciback --help lists the commands",
    ],
    [['frobnicate'], "pciback: USAGE: there is no command 'frobnicate'; pciback --help lists the commands"],
    [
      ['help', 'lsit'],
      "pciback: USAGE: there is no command 'lsit'; did you mean list? pciback --help lists the commands",
    ],
    [
      ['--json', 'list'],
      'pciback: USAGE: pciback has no option --json; options follow the command; pciback --help lists the commands',
    ],
    [
      ['list', '--jsn'],
      'pciback: USAGE: list has no option --jsn; did you mean --json? see pciback list --help',
    ],
    [['list', '-x'], 'pciback: USAGE: list has no option -x; see pciback list --help'],
    [['list', '--loopback'], 'pciback: USAGE: --loopback needs a value; write --loopback DIR'],
    [['list', '--loopback', '--json'], 'pciback: USAGE: --loopback needs a value; write --loopback DIR'],
    [['list', '--loopback='], 'pciback: USAGE: --loopback needs a value; write --loopback DIR'],
    [['list', '--json=1'], 'pciback: USAGE: --json takes no value; write --json alone'],
    [['list', '--json', '--json'], 'pciback: USAGE: --json is given twice; give it once'],
    [
      ['list', 'x'],
      "pciback: USAGE: list does not know what to do with 'x'; usage: pciback list; see pciback list --help",
    ],
    [
      ['attach'],
      'pciback: USAGE: attach needs an operand; usage: pciback attach DOMID SPEC...; see pciback attach --help',
    ],
    [
      ['detach', '5'],
      'pciback: USAGE: detach needs 2 operands; usage: pciback detach DOMID SPEC...; see pciback detach --help',
    ],
    [
      ['attach', '5'],
      'pciback: USAGE: attach needs a function; name one: pciback attach DOMID 03:00.0, or --config FILE',
    ],
    [
      ['attach', 'five', '03:00.0'],
      "pciback: BAD-DOMID: 'five' is not a domain id; give a number from 1 to 32751, as xl list shows it",
    ],
    [['attach', '0', '03:00.0'], 'pciback: BAD-DOMID: domain 0 is the host itself; give the id of a guest'],
    [
      ['attach', '32752', '03:00.0'],
      "pciback: BAD-DOMID: '32752' is not a domain id; give a number from 1 to 32751, as xl list shows it",
    ],
    [
      ['attach', '5', '03:00.8'],
      "pciback: BAD-SPEC: '03:00.8': at character 7: there is no function 8; function numbers go from 0 to 7; an address is [segment:]bus:device.function in hexadecimal, as in 0000:03:00.0",
    ],
    [
      ['attach', '5', '03:00.0', '--timeout', 'x'],
      "pciback: USAGE: 'x' is no time-out; write --timeout with seconds, from 0.1 to 3600",
    ],
    ...['0.001', '0x10', '3601', '1e1', '-1'].map((text): [string[], string] => [
      ['detach', '5', '03:00.0', `--timeout=${text}`],
      `pciback: USAGE: '${text}' is no time-out; write --timeout with seconds, from 0.1 to 3600`,
    ]),
    [
      ['serve', '--loopback', '/nonexistent', '--workers', '0x10'],
      "pciback: USAGE: '0x10' is no number of workers; write --workers with a number from 1 to 64",
    ],
    [
      ['serve', '--loopback', '/nonexistent', '--xen'],
      'pciback: USAGE: --xen and --loopback are given together; give one of them; see pciback serve --help',
    ],
    [
      ['attach', '5', '--config', '/nonexistent'],
      'pciback: BAD-FILE: /nonexistent cannot be read: ENOENT; name the xl.cfg of the guest',
    ],
    [
      ['xenstored'],
      'pciback: USAGE: xenstored needs a directory; write --loopback DIR; on Xen, Xen brings its own',
    ],
    [
      ['conform'],
      'pciback: USAGE: conform needs an operand; usage: pciback conform FILE...; see pciback conform --help',
    ],
    [
      ['conform', '/nonexistent'],
      'pciback: BAD-FILE: /nonexistent cannot be read: ENOENT; name a file of configuration-space vectors',
    ],
  ])('%j is told in one line, exit code 2', async (words, line) => {
    const error: unknown = await runHere(words).catch((each: unknown) => each);
    expect(failureLine(error)).toBe(line);
    expect(error instanceof PcibackError && error.exitCode).toBe(2);
  });

  it('is told on standard error', async () => {
    expect(await run(['lsit'])).toEqual({
      code: 2,
      signal: null,
      stdout: '',
      stderr:
        "pciback: USAGE: there is no command 'lsit'; did you mean list? pciback --help lists the commands\n",
    });
  });
});

describe('what the environment lacks', () => {
  it('is Xen, or a directory in its place', async () => {
    const { code, stderr } = await run(['status']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^pciback: NO-XEN: .*--loopback DIR.*\n$/);
  });

  it('is Xen, when that is meant whatever the environment says', async () => {
    const { stderr } = await run(['serve', '--xen'], { PCIBACK_LOOPBACK: await makeDirectory() });
    expect(stderr).toMatch(/^pciback: NO-XEN: /);
  });

  it('is the directory that was named', async () => {
    const { code, stderr } = await run(['status'], { PCIBACK_LOOPBACK: '/nonexistent' });
    expect(code).toBe(3);
    expect(stderr).toBe(
      'pciback: BAD-DIRECTORY: /nonexistent is not a directory; start a daemon there: pciback serve --loopback /nonexistent\n',
    );
  });

  it('is a daemon', async () => {
    const directory = await makeDirectory();
    const { code, stderr } = await run(['status', '--loopback', directory]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      `pciback: NO-DAEMON: no pciback daemon serves ${directory}; start one: pciback serve --loopback ${directory}\n`,
    );
  });

  it('is told with a trace when that is asked for', async () => {
    const { stderr } = await run(['status', '--loopback', '/nonexistent'], { PCIBACK_DEBUG: '1' });
    expect(stderr).toMatch(/^pciback: BAD-DIRECTORY: .*\n.*\n +at /);
  });
});
