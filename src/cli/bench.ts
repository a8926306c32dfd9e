import { benchConfigSpace, benchRing } from '../bench/index.ts';
import { defineCommand } from './command.ts';
import { formatTable } from './table.ts';

const figure = (value: number, digits = 1): string => value.toFixed(digits);

export const bench = defineCommand({
  operands: '',
  arity: [0, 0],
  description: `Measures what the filter costs for one access, and how fast one guest's requests are answered: by the real request stream in a worker, by its ring, which answers reads by itself, and beside them, in the same run, by a native thread that does the least that could be called an answer. Only ratios can be compared between machines, and between runs on a busy one.`,
  examples: [
    { line: 'pciback bench', does: 'takes some seconds; best on an idle machine' },
    { line: 'pciback bench --interpreted', does: 'the same as the daemon runs it' },
  ],
  options: {
    interpreted: { type: 'boolean', help: 'as serve runs it: without machine code that V8 makes meanwhile' },
  },
  async run({ options }, { output, signal }) {
    if (options.interpreted) {
      const { interpretOnly } = await import('./interpret.ts');
      interpretOnly();
    }
    const filter = await benchConfigSpace(signal);
    const ring = await benchRing({ signal });
    if (options.json) {
      output.printJson({ filter, ring });
      return;
    }
    const rows = filter.map(({ name, nanoseconds, ratio }) => [
      name,
      figure(nanoseconds),
      `${figure(ratio)} x`,
    ]);
    output.print(formatTable(['FILTER', 'NS', 'OF MEMORY ONLY'], rows));
    const served = Object.entries({ worker: ring.javascript, ring: ring.plain, native: ring.native });
    output.print('');
    output.print(
      formatTable(
        ['RING', 'REQUESTS/S', 'SYSTEM CALLS EACH'],
        served.map(([name, figures]) => [
          name,
          figure(figures.requestsPerSecond, 0),
          figures.systemCallsPerRequest === null ? '-' : figure(figures.systemCallsPerRequest, 2),
        ]),
      ),
    );
    output.print(
      `the worker reaches ${figure(ring.ratio, 2)} of the native thread, its ring ${figure(ring.plainRatio, 2)}`,
    );
  },
});
