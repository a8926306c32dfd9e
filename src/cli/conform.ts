import { conform as runVectors } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import { defineCommand } from './command.ts';
import { readText } from './files.ts';

export const conform = defineCommand({
  operands: 'FILE...',
  arity: [1, Number.POSITIVE_INFINITY],
  description: `Runs configuration-space vectors against the filter that stands between guests and hardware. A vector file is a JSON array of sequences; each has the configuration space of a function, and reads and writes with what must come of them: the error code, the value read, and what the hardware holds afterwards.

The report is JSON: the number of steps that passed and that failed, over all files, and for each failed step its id and what was expected and what happened. A failed step does not end its sequence. The exit code is 1 if any failed.`,
  examples: [
    { line: 'pciback conform vectors.json', does: 'check this filter against vectors made elsewhere' },
  ],
  options: {},
  async run({ positionals }, { output }) {
    const reports = [];
    for (const file of positionals) {
      const text = await readText(file, 'name a file of configuration-space vectors');
      reports.push(runVectors(text, file));
    }
    const passed = reports.reduce((sum, report) => sum + report.passed, 0);
    const failed = reports.reduce((sum, report) => sum + report.failed, 0);
    output.printJson({ passed, failed, failures: reports.flatMap(({ failures }) => failures) });
    if (failed === 0) return;
    throw new PcibackError(
      'CONFORMANCE-FAILED',
      `${failed} of ${passed + failed} steps came out differently`,
      'compare expected and actual in the report',
    );
  },
});
