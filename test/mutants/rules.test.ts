import { expect, test } from 'vitest';
import { mutants } from './rules/index.ts';
import { staleness } from './staleness.ts';

test.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
  'the sources have what is taken out: %s',
  (_, mutant) => {
    expect(staleness(mutant)).toBeUndefined();
  },
);

test('no two are of one name', () => {
  const names = mutants.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});
