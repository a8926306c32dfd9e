import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { failureLine } from '../../src/cli/failure.ts';
import { readBootCfgHide } from '../../src/cli/files.ts';
import { wrap } from '../../src/cli/help.ts';
import { formatTable } from '../../src/cli/table.ts';
import { parseSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { captureInventory } from '../../src/host/index.ts';
import { reportInventory } from '../../src/monitor/index.ts';
import { open } from './reader.ts';
import { makeDirectory } from './run.ts';

describe('a table', () => {
  it('has its columns under each other', () => {
    expect(
      formatTable(
        ['A', 'LONG', 'LAST'],
        [
          ['xyz', '1', 'a b'],
          ['', '12345', ''],
        ],
      ),
    ).toEqual(['A    LONG   LAST', 'xyz  1      a b', '     12345']);
  });

  it('does not count styles for the width', () => {
    const styled = { text: 'ok', styled: '\u001b[32mok\u001b[39m' };
    expect(formatTable(['STATE', 'X'], [[styled, 'y']])).toEqual([
      'STATE  X',
      '\u001b[32mok\u001b[39m     y',
    ]);
  });

  it('is not made wide by one cell', () => {
    const [header = '', first = '', second = ''] = formatTable(
      ['NAME', 'LAST'],
      [
        ['x'.repeat(100_000), 'y'.repeat(100_000)],
        ['a', 'b'],
      ],
    );
    expect(header.indexOf('LAST')).toBe(102);
    expect(first).toBe(`${'x'.repeat(99)}…  ${'y'.repeat(399)}…`);
    expect(second).toBe(`a${' '.repeat(101)}b`);
  });

  it('cuts the last column to the width of the terminal', () => {
    expect(formatTable(['A', 'NAME'], [['x', 'a very long name']], 12)).toEqual(['A  NAME', 'x  a very l…']);
  });
});

describe('help texts', () => {
  it('are broken into lines, paragraph by paragraph', () => {
    expect(wrap('one two\nthree four\n\nfive', 9)).toBe('one two\nthree\nfour\n\nfive');
  });

  it('keep a word that is longer than a line', () => {
    expect(wrap('a extraordinary b', 5)).toBe('a\nextraordinary\nb');
  });
});

describe('an error', () => {
  it('is one line with reason, what happened and what to do', () => {
    const error = new PcibackError('NO-DAEMON', 'nobody\n  listens\u001b[31m', 'start one');
    expect(failureLine(error)).toBe('pciback: NO-DAEMON: nobody listens?[31m; start one');
  });

  it('is short, however much somebody wrote', () => {
    const long = 'x'.repeat(100_000);
    const quoting = new PcibackError('BAD-SPEC', `'${long}': it's no spec`, "see the guest's log and don't");
    expect(failureLine(quoting)).toBe(
      `pciback: BAD-SPEC: '${'x'.repeat(57)}...': it's no spec; see the guest's log and don't`,
    );
    const line = failureLine(new PcibackError('USAGE', `no ${long}`, `name one: ${long}`));
    expect(line.length).toBeLessThan(2000);
    expect(line).toContain('...; name one: xxx');
    expect(failureLine(new Error(long)).length).toBeLessThan(2000);
  });

  it('that nobody expected is our defect', () => {
    const expected =
      'pciback: INTERNAL: x is not a function; run it again with PCIBACK_DEBUG=1 for a trace, and report that';
    expect(failureLine(new TypeError('x is not a function'))).toBe(expected);
    expect(failureLine('x is not a function')).toBe(expected);
  });
});

/** Turns of the event loop that a write takes here. */
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Dropped {
  readonly data: { readonly lines: number };
}

describe('a stream of events', () => {
  it('holds no more than it has to when nobody reads, and says what it dropped', async () => {
    const { reader, sink, output } = open({ isReading: false });
    const event = { type: 'x', padding: 'x'.repeat(1000) };
    for (let count = 0; count < 3000; count += 1) output.printEvent(event);
    expect(sink.pending).toBeLessThan(0x11_0000);
    reader.read();
    await output.delivered(new AbortController().signal);
    output.printEvent({ type: 'last' });
    await output.delivered(new AbortController().signal);
    const [dropped = '', last] = reader.lines.slice(-2);
    expect(last).toBe('{"type":"last"}');
    const { data } = JSON.parse(dropped) as Dropped;
    expect(reader.lines.length - 2 + data.lines).toBe(3000);
  });

  it('tells that its audience has gone, and goes on without it', async () => {
    const { reader, output } = open();
    reader.fail('EPIPE');
    output.printEvent({ type: 'x' });
    await turns();
    expect(output.closed.aborted).toBe(true);
    expect(output.failed.aborted).toBe(false);
    output.print('x');
    expect(reader.lines).toEqual([]);
  });
});

describe('the hide list of a boot.cfg', () => {
  const write = async (text: string): Promise<string> => {
    const file = join(await makeDirectory(), 'boot.cfg');
    await writeFile(file, text);
    return file;
  };

  it.each([
    ['default=2', '(04:00.0)(05:00.*)'],
    ['default=3', '(03:00.0)'],
    ['', '(03:00.0)'],
  ])('is that of the entry which is booted, with %j: %s', async (line, hide) => {
    const text = `menu=Xen:load /netbsd pciback.hide=(03:00.0);multiboot /xen.gz
menu=Test:load /netbsd-TEST pciback.hide=(04:00.0)(05:00.9)(05:00.*);multiboot /xen.gz
menu=Plain:boot /netbsd
${line}\n`;
    expect(await readBootCfgHide(await write(text))).toBe(hide);
  });

  it('is missing where nothing is loaded for Xen', async () => {
    await expect(readBootCfgHide(await write('menu=Plain:boot /netbsd\n'))).rejects.toMatchObject({
      reason: 'BAD-FILE',
    });
  });
});

describe("the report of a host's functions", () => {
  it('tells what is behind a bridge, as its type 1 header says', () => {
    const { functions, warnings } = reportInventory(captureInventory());
    expect(warnings).toEqual([]);
    expect(functions.length).toBeGreaterThan(4);
    expect(functions.filter(({ classCode }) => classCode === null)).toEqual([]);
    for (const { sbdf, classCode, secondaryBus } of functions) {
      expect(parseSbdf(sbdf)).toBeDefined();
      expect(secondaryBus !== null).toBe((classCode ?? 0) >>> 8 === 0x0604);
    }
    const [facts] = captureInventory().functions;
    if (!facts) throw new Error('no captures');
    const config = facts.config.slice();
    config[0x0e] = 0x81;
    config[0x19] = 7;
    expect(
      reportInventory({ functions: [{ ...facts, config }], warnings: [] }).functions[0]?.secondaryBus,
    ).toBe(7);
  });
});
