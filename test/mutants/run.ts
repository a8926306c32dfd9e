/**
 * `npm run test:mutants`: takes the protections out, one at a time, and says which test notices. The last line is `N of N noticed`.
 *
 *     --only PATTERN  only those whose name and file, with a blank in between, match the regular expression
 *     --seconds N     begins no more of them after so long; those that were not tried do not count
 *     --from N        begins with the Nth; without it a bounded run begins anywhere, so that none is always left out
 *     --jobs N        so many at a time; as many as there are processors, without it
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Mutant } from './mutant.ts';
import { mutants } from './rules/index.ts';
import { staleness } from './staleness.ts';
import { BuildFailed, Tree } from './tree.ts';
import { type Verdict, runTests } from './trial.ts';

async function tryOut(tree: Tree, mutant: Mutant): Promise<Verdict> {
  try {
    const { tests: files, named } = mutant;
    return await tree.without(mutant, () => runTests(tree, { files, named }));
  } catch (error) {
    if (!(error instanceof BuildFailed)) throw error;
    return { is: 'broken', why: error.message };
  }
}

function describe(verdict: Verdict): string {
  if (verdict.is === 'green') return 'NOT NOTICED';
  if (verdict.is === 'broken') return 'DOES NOT RUN';
  return verdict.late ? 'noticed by a time-out' : 'noticed';
}

function details(verdict: Verdict): string {
  if (verdict.is === 'failed') return `by ${verdict.test}`;
  return verdict.is === 'broken' ? verdict.why : 'all of its tests passed';
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string' },
    from: { type: 'string' },
    jobs: { type: 'string' },
  },
});
const only = new RegExp(values.only);
const bound = values.seconds === undefined ? Infinity : 1000 * Number(values.seconds);
const begin = performance.now();
// Nothing is left behind: what has been started and copied goes with the process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const chosen = mutants.filter(({ name, file }) => only.test(`${name} ${file}`));
const stale = chosen.filter((mutant) => staleness(mutant) !== undefined);
for (const mutant of stale) console.log(`STALE                  ${mutant.name}: ${staleness(mutant)}`);
const fresh = chosen.filter((mutant) => !stale.includes(mutant));
const anywhere = bound === Infinity ? 0 : Math.floor(Math.random() * fresh.length);
const first = values.from === undefined ? anywhere : Math.max(Number(values.from) - 1, 0);
// Those that need the addon one after the other, as far as the rotation lets them: what is built is built less often.
const waiting = [...fresh.slice(first), ...fresh.slice(0, first)];

const jobs = Math.max(Math.min(Number(values.jobs ?? availableParallelism()), waiting.length), 1);
const trees = await Promise.all(Array.from({ length: jobs }, () => Tree.make()));
let tried = stale.length;
let noticed = 0;
try {
  const [tree = await Tree.make()] = trees;
  console.log(`${fresh.length} protections; begins with number ${first + 1}`);
  for (const named of new Set(waiting.map((mutant) => mutant.named))) {
    const those = waiting.filter((mutant) => mutant.named === named);
    const files = [...new Set(those.flatMap(({ tests }) => tests))];
    const verdict = await runTests(tree, { files, named, limit: Infinity });
    if (verdict.is === 'green') continue;
    throw new Error(`the tests do not pass with every protection in place: ${details(verdict)}`);
  }

  await Promise.all(
    trees.map(async (each) => {
      while (performance.now() - begin < bound) {
        const mutant = waiting.shift();
        if (!mutant) return;
        const verdict = await tryOut(each, mutant);
        tried += 1;
        if (verdict.is === 'failed') noticed += 1;
        const detail = details(verdict).replaceAll('\n', '\n    ');
        console.log(`${describe(verdict).padEnd(22)} ${mutant.name} (${mutant.source})\n    ${detail}`);
      }
    }),
  );
} finally {
  for (const tree of trees) await tree[Symbol.asyncDispose]();
}
if (waiting.length > 0) console.log(`${waiting.length} were not tried: ${values.seconds} s were over`);
console.log(`${noticed} of ${tried} noticed`);
process.exitCode = noticed === tried && tried > 0 ? 0 : 1;
