/** Every check of a stage, against hosts on which it passes and on which it does not. */
import { describe, expect, it } from 'vitest';
import type { Stage } from '../../src/doctor/check.ts';
import type { Facts } from '../../src/doctor/facts.ts';
import type { Result } from '../../src/doctor/index.ts';
import type { Reason } from '../../src/errors.ts';
import { find } from './support.ts';

/** A host, what the check says of it, and words that have to be in what, why or remedy; for failures the reason. */
type Case = readonly [facts: Facts, result: Result, says: RegExp, reason?: Reason];

export function describeStage(stage: Stage, cases: Readonly<Record<string, readonly Case[]>>): void {
  describe.each(Object.entries(cases))('%s', (id, all) => {
    it.each(all.map((each, position) => [position, ...each] as const))(
      'case %i',
      (_, facts, result, says, reason) => {
        const found = find(id, facts);
        expect(`${found?.what} | ${found?.why} | ${found?.remedy}`).toMatch(says);
        expect([found?.result, found?.reason]).toEqual([result, reason ?? null]);
      },
    );

    it('says what to do about everything that does not pass', () => {
      for (const [facts] of all) {
        const found = find(id, facts);
        const isBad = found?.result === 'fail' || found?.result === 'warn';
        if (isBad) expect([found.why, found.remedy]).not.toContain('');
      }
    });
  });

  it('has a case for every check', () => {
    expect(Object.keys(cases).toSorted()).toEqual(stage.checks.map(({ id }) => id).toSorted());
  });
}
