/** The control socket and the metrics. */
import type { Mutant } from '../mutant.ts';

export const monitor: readonly Mutant[] = [
  {
    name: 'the control socket belongs to one user',
    source: 'who may connect may do all that the daemon can',
    file: 'src/monitor/control-server.ts',
    find: 'chmodSync(temporary, 0o600);',
    put: 'chmodSync(temporary, 0o666);',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'a guest has a budget of events',
    source: 'XSA-43',
    file: 'src/monitor/event-budget.ts',
    find: '      this.#tokens -= 1;\n      return true;',
    put: '      return true;',
    tests: ['test/monitor/event-budget.test.ts'],
  },
  {
    name: 'a daemon that answers is not replaced',
    source: 'DAEMON-RUNNING',
    file: 'src/monitor/control-server.ts',
    find: 'if (!isSuccessor && (await socketAnswers(path))) {',
    put: 'if (isSuccessor && (await socketAnswers(path))) {',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'a line that never ends is not kept',
    source: 'a client must not fill the memory',
    file: 'src/monitor/control-line.ts',
    find: '    held += chunk.length - from;\n    if (held > longest) throw new LineTooLong();\n',
    put: '    held += chunk.length - from;\n',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'a line that ends is not too long',
    source: 'a client must not fill the memory',
    file: 'src/monitor/control-line.ts',
    find: '      if (held > longest) throw new LineTooLong();\n      yield',
    put: '      yield',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'a method is one of its own',
    source: 'names such as constructor',
    file: 'src/monitor/control-server.ts',
    find: 'Object.hasOwn(table, name) ? table[name] : undefined;',
    put: 'name in table ? table[name] : undefined;',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'the socket of a successor is left to it',
    source: 'two daemons for a moment',
    file: 'src/monitor/control-server.ts',
    find: '?.ino === this.#inode)',
    put: '?.ino !== undefined)',
    tests: ['test/monitor/control.test.ts'],
  },
  {
    name: 'metrics are served on this machine only',
    source: 'unless that is meant',
    file: 'src/monitor/listen-address.ts',
    find: 'if (anyAddress || loopback.check(',
    put: 'if (address !== undefined || loopback.check(',
    tests: ['test/monitor/metrics-server.test.ts'],
  },
];
