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
];
