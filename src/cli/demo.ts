import { PcibackError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { type Stage, silentStage } from './demo/stage.ts';
import { runDemo } from './demo/story.ts';
import type { Output } from './output.ts';
import { formatTable } from './table.ts';

export const demo = defineCommand({
  operands: '',
  arity: [0, 0],
  description: [
    'Plays the whole life of passed-through functions on the loopback platform: models of this machine’s PCI functions are',
    'hidden, exported to two guests - processes of their own that behave as Linux’s pcifront does -, attacked, handed from one',
    'guest to the other and given back, while a worker is killed under load. Nothing is written to any real function, and',
    'nothing is left behind. Takes some seconds.',
  ].join('\n'),
  examples: [
    { line: 'pciback demo', does: 'watch it' },
    { line: 'pciback demo --json', does: 'only the figures' },
  ],
  options: {
    sysfs: { type: 'string', value: 'DIR', help: 'take the functions from a captured sysfs tree' },
  },
  async run({ options }, { output, signal }) {
    const stage = options.json ? silentStage : onTerminal(output);
    const watched = AbortSignal.any([signal, output.failed]);
    const result = await runDemo(stage, { signal: watched, ...(options.sysfs && { sysfs: options.sysfs }) });
    if (options.json) output.printJson(result);
    if (result.ok) return;
    throw new PcibackError(
      'INTERNAL',
      'the demonstration did not go as it should: see the figures',
      'run it again; if it fails again, report it with what it printed',
    );
  },
});

function onTerminal(output: Output): Stage {
  const line = (text = ''): void => output.print(text === '' ? '' : `  ${text}`);
  return {
    heading: (text) => output.print(['', output.style('bold', text)]),
    line,
    aside: (text) => line(output.style('dim', text)),
    table: (columns, rows) => {
      const width = (output.width ?? 160) - 2;
      for (const row of formatTable(columns, rows, width)) if (row.trim() !== '') line(row);
    },
  };
}
