/** Whatever a guest, a file or an error says: what is printed is lines of plain text, and colours that are ours. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failureLine } from '../../src/cli/failure.ts';
import { describeEvent } from '../../src/cli/demo/event-line.ts';
import { runProgram } from '../../src/cli/program.ts';
import { formatTable } from '../../src/cli/table.ts';
import { PcibackError } from '../../src/errors.ts';
import type { BackendEvent } from '../../src/index.ts';
import { quote } from '../../src/xenbus/index.ts';
import { forbiddenIn, hostileText } from '../texts.ts';
import { Host } from './host.ts';
import { open } from './reader.ts';
import { run } from './run.ts';

/** What `style` makes of a red text, and nothing that a guest wrote. */
const [red, plainAgain] = ['\u001b[31m', '\u001b[39m'];
const withoutColours = (line: string): string => line.replaceAll(red, '').replaceAll(plainAgain, '');
const hostile = `\u001b[31mred\u009b2J\u202eevil\u2066\n0000:66:66.6  hidden\u0007${'\u0301'.repeat(50)}${'x'.repeat(5000)}`;

describe('what is printed', () => {
  it('is one line, without colours where it is no terminal', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const { reader, output } = open();
        output.print(`a ${output.style('red', text)} ${text}`);
        expect(reader.lines).toHaveLength(1);
        expect(reader.lines.flatMap(forbiddenIn)).toEqual([]);
      }),
    );
  });

  it('has no colours on a terminal but ours', () => {
    fc.assert(
      fc.property(hostileText, hostileText, (text, other) => {
        const { reader, output } = open({ isTerminal: true });
        output.print([`${other}${output.style('red', text)}${other}`, other]);
        const [first = '', ...others] = reader.lines;
        expect(first.split(red)).toHaveLength(2);
        expect(first.split(plainAgain)).toHaveLength(2);
        expect(others).toHaveLength(1);
        expect([withoutColours(first), ...others].flatMap(forbiddenIn)).toEqual([]);
      }),
    );
  });

  it('is not long', () => {
    const { reader, output } = open({ isTerminal: true });
    output.print(`${output.style('red', 'x'.repeat(100_000))}${'y'.repeat(100_000)}`);
    expect(reader.text.length).toBeLessThan(20_000);
    expect(forbiddenIn(reader.text.trimEnd())).toEqual([]);
  });

  it('is a row of a table for each that there is', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(hostileText, hostileText)), (rows) => {
        const { reader, output } = open();
        output.print(formatTable(['A', 'B'], rows));
        expect(reader.lines).toHaveLength(rows.length + 1);
        expect(reader.lines.flatMap(forbiddenIn)).toEqual([]);
      }),
    );
  });

  it('tells an error in one line', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        for (const error of [new Error(text), new PcibackError('INTERNAL', text, text), text])
          expect(forbiddenIn(failureLine(error))).toEqual([]);
        expect(forbiddenIn(quote(text))).toEqual([]);
      }),
    );
  });

  it('tells an event in one line, or as one object', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const event: BackendEvent = {
          type: 'warning',
          time: '2026-01-01T00:00:00Z',
          message: text,
          data: { text },
        };
        const { reader, output } = open();
        output.printPassing(describeEvent(event));
        output.printEvent(event);
        output.drain();
        expect(reader.lines).toHaveLength(2);
        expect(reader.lines.flatMap(forbiddenIn)).toEqual([]);
        expect(JSON.parse(reader.lines[1] ?? '')).toEqual(JSON.parse(JSON.stringify(event)));
      }),
    );
  });
});

describe('the name of a guest', () => {
  const start = async (): Promise<Host> => {
    const host = await Host.start();
    host.guests = [
      {
        domid: 5,
        name: hostile,
        servedBy: 'pciback',
        state: 'initialised',
        backendState: 'Initialised',
        frontendState: 'Initialising',
        functions: [
          {
            sbdf: '0000:03:00.0',
            vdev: hostile,
            state: 'bound',
            resettingSince: null,
            requests: 12,
            denied: 3,
          },
        ],
        reachedBy: 'front-end',
        waitingFor: `the front-end, ${hostile}`,
        waitingSince: null,
      },
    ];
    host.functions = [
      { sbdf: '0000:05:00.0', state: 'quarantined', resettingSince: null, owner: null, reason: hostile },
    ];
    return host;
  };

  it.each([false, true])(
    'adds neither lines nor colours to status; on a terminal: %j',
    async (isTerminal) => {
      const { env } = await start();
      const { reader, output } = open({ isTerminal });
      await runProgram(['status'], env, { output, signal: new AbortController().signal });
      const lines = reader.lines.map(withoutColours);
      expect(lines.flatMap(forbiddenIn)).toEqual([]);
      expect(lines).toHaveLength(9);
      expect(lines[2]).toMatch(
        /^domain 5 \(\?\[31mred\?2J\?evil\?\?0000:66:66.6 {2}hidden\?.{1,40}\): back-end Initialised/u,
      );
      expect(lines.every((line) => line.length < 6000)).toBe(true);
    },
  );

  it('is in JSON what it was', async () => {
    const { env, status } = await start();
    const { stdout } = await run(['status', '--json'], env);
    expect(JSON.parse(stdout)).toEqual(status);
    expect(forbiddenIn(stdout.trimEnd())).toEqual([]);
  });
});
