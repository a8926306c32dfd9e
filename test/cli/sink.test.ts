/** What goes out, and in what order, when writing fails and works again. */
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { open } from './reader.ts';

const never = new AbortController().signal;

interface Line {
  readonly type: string;
  readonly data?: { readonly lines: number };
}

const parse = (lines: readonly string[]): readonly Line[] => lines.map((line) => JSON.parse(line) as Line);
const droppedIn = (lines: readonly Line[]): number =>
  lines.reduce((sum, { data }) => sum + (data?.lines ?? 0), 0);
const typesIn = (lines: readonly Line[]): readonly string[] =>
  lines.map(({ type }) => type).filter((type) => type !== 'output.dropped');

describe('lines that cannot be written', () => {
  afterEach(() => void vi.useRealTimers());

  it('are counted, and told with the next that can', async () => {
    const { reader, output } = open();
    reader.fail('ENOSPC');
    for (const type of ['a', 'b', 'c']) {
      output.printEvent({ type });
      await output.delivered(never).catch(() => {});
    }
    expect(output.failed.reason).toMatchObject({ reason: 'OUTPUT-FAILED' });
    reader.read();
    output.printEvent({ type: 'd' });
    await output.delivered(never).catch(() => {});
    expect(reader.lines).toEqual(['{"type":"output.dropped","data":{"lines":3}}', '{"type":"d"}']);
  });

  it('are told of although nothing else happens', async () => {
    vi.useFakeTimers();
    const { reader, output } = open();
    reader.fail('EIO');
    output.printEvent({ type: 'a' });
    await vi.advanceTimersByTimeAsync(5000);
    expect(reader.lines).toEqual([]);
    reader.read();
    await vi.advanceTimersByTimeAsync(1000);
    expect(reader.lines).toEqual(['{"type":"output.dropped","data":{"lines":1}}']);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(reader.lines).toHaveLength(1);
  });

  it('are told of before the end', async () => {
    const { reader, output } = open();
    reader.fail('EDQUOT');
    output.printEvent({ type: 'a' });
    await output.delivered(never).catch(() => {});
    reader.read();
    output.drain();
    expect(reader.lines).toEqual(['{"type":"output.dropped","data":{"lines":1}}']);
  });

  it('are finished first if a part was written', async () => {
    const { reader, output } = open();
    reader.fail('ENOSPC', 20);
    for (const type of ['a', 'b', 'c']) output.printEvent({ type });
    await output.delivered(never).catch(() => {});
    expect(reader.text).toBe('{"type":"a"}\n{"type"');
    reader.read();
    output.drain();
    expect(reader.lines).toEqual([
      '{"type":"a"}',
      '{"type":"b"}',
      '{"type":"output.dropped","data":{"lines":1}}',
    ]);
  });

  it('leave each line whole and each loss counted, however often writing fails and works again', async () => {
    const step = fc.oneof(
      fc.record({ events: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ room: fc.integer({ min: 0, max: 3000 }) }),
      fc.constant({ reads: true as const }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { reader, output } = open();
        let offered = 0;
        const settle = (): Promise<void> => output.delivered(never).catch(() => {});
        for (const each of steps) {
          if ('events' in each) {
            for (let count = 0; count < each.events; count += 1)
              output.printEvent({ type: String((offered += 1)), padding: 'x'.repeat(offered % 300) });
          } else if ('room' in each) reader.fail('ENOSPC', each.room);
          else reader.read();
          if (offered % 2 === 0) await settle();
        }
        await settle();
        reader.read();
        output.printEvent({ type: String((offered += 1)) });
        await settle();
        const lines = parse(reader.lines);
        const types = typesIn(lines);
        expect(reader.text).toBe(reader.lines.map((line) => `${line}\n`).join(''));
        expect(types.length + droppedIn(lines)).toBe(offered);
        expect(types).toEqual(types.toSorted((a, b) => Number(a) - Number(b)));
      }),
    );
  });
});
