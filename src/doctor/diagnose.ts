/** Asks every question of every stage, in the order in which an operator would. */
import { formatSbdf } from '../address.ts';
import { type Finding, type Result, skip, type Stage, worst } from './check.ts';
import type { Facts } from './facts.ts';
import { bindingStage } from './stages/binding.ts';
import { guestStage } from './stages/guest.ts';
import { iommuStage } from './stages/iommu.ts';
import { isolationStage } from './stages/isolation.ts';
import { platformStage } from './stages/platform.ts';

export const stages: readonly Stage[] = [platformStage, iommuStage, isolationStage, bindingStage, guestStage];

export interface CheckReport extends Finding {
  readonly id: string;
  readonly question: string;
}

export interface StageReport {
  readonly stage: string;
  readonly title: string;
  readonly checks: readonly CheckReport[];
}

/** What all checks together say of one function. */
export interface Verdict {
  readonly sbdf: string;
  readonly result: Result;
  /** Ids of the checks that it fails. */
  readonly fails: readonly string[];
}

export interface Diagnosis {
  /** Nothing has failed. */
  readonly ok: boolean;
  readonly stages: readonly StageReport[];
  readonly functions: readonly Verdict[];
}

const nothingApplies: Readonly<Record<Facts['scope'], string>> = {
  machine: 'nothing to ask',
  tree: 'a captured tree does not tell',
  loopback: 'models need none of this',
};

/** Judges the facts. Pure. */
export function diagnose(facts: Facts): Diagnosis {
  const reports = stages.map(({ stage, title, checks }): StageReport => {
    const found = checks.flatMap(({ id, question, check }) => {
      const finding = check(facts);
      return finding ? [{ id, question, ...finding }] : [];
    });
    const none = { id: stage, question: 'does it apply?', ...skip(nothingApplies[facts.scope]) };
    return { stage, title, checks: found.length > 0 ? found : [none] };
  });
  const all = reports.flatMap(({ checks }) => checks);
  return {
    ok: all.every(({ result }) => result !== 'fail'),
    stages: reports,
    functions: facts.subjects.map((sbdf) => verdictOn(formatSbdf(sbdf), all)),
  };
}

function verdictOn(sbdf: string, checks: readonly CheckReport[]): Verdict {
  const found = checks.flatMap(({ id, functions = [] }) =>
    functions.filter((each) => each.sbdf === sbdf).map(({ result }) => ({ id, result })),
  );
  return {
    sbdf,
    result: worst(found.map(({ result }) => result)),
    fails: found.filter(({ result }) => result === 'fail').map(({ id }) => id),
  };
}
