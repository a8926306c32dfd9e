/** What commands print, and how they end. */
import type { Mutant } from '../mutant.ts';

export const cli: readonly Mutant[] = [
  {
    name: 'a crash loop of daemons ends',
    source: 'what is served may kill whoever serves it',
    file: 'src/backend/stand-ins.ts',
    find: '(now - predecessor.since) * 1000 < shortLife',
    put: '(now - predecessor.since) * 1000 < 0',
    tests: ['test/backend/stand-ins.test.ts'],
  },
  {
    name: 'a reader that is too slow is not waited for',
    source: 'a terminal that is stopped',
    file: 'src/cli/sink.ts',
    find: 'if (this.#pending > mostPending) {',
    put: 'if (this.#pending > Infinity) {',
    tests: ['test/cli/parts.test.ts'],
  },
  {
    name: 'what could not be written is counted',
    source: 'a full disk',
    file: 'src/cli/sink.ts',
    find: '    for (const entry of [...unwritten, ...this.#queue]) this.#lose(entry);\n',
    put: '',
    tests: ['test/cli/sink.test.ts'],
  },
  {
    name: 'what could not be written is told although nothing else happens',
    source: 'a full disk',
    file: 'src/cli/sink.ts',
    find: '    this.#retry = setTimeout(() => this.#goOn(), retryEvery).unref();\n',
    put: '',
    tests: ['test/cli/sink.test.ts'],
  },
  {
    name: 'a half line is finished before anything else is written',
    source: 'a full disk',
    file: 'src/cli/sink.ts',
    find: '    this.#torn = bytes.subarray(0, left);\n',
    put: '    this.#torn = nothing;\n',
    tests: ['test/cli/sink.test.ts'],
  },
  {
    name: 'no character of others moves the cursor, turns the line or hides',
    source: 'CVE-2021-42574; ECMA-48, 5.3',
    file: 'src/text.ts',
    find: String.raw`const unsafe = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;`,
    put: String.raw`const unsafe = /[\u0000-\u001f\u007f]/gu;`,
    tests: ['test/text.test.ts'],
  },
  {
    name: 'a daemon outlives its terminal',
    source: 'a connection that breaks',
    file: 'src/cli/main.ts',
    find: "  if (signal === 'SIGHUP' && !output.waitsForReader) return;\n",
    put: '',
    tests: ['test/cli/interrupted.test.ts'],
    named: 'goes on when its terminal is closed',
    build: 'bundle',
  },
];
