/** What a check is, and how the verdicts on several functions become one. */
import { formatSbdf, type Sbdf } from '../address.ts';
import type { PcibackError, Reason } from '../errors.ts';
import type { SilentFunction } from '../host/silent.ts';
import type { Facts, KnownFunction, MachineFacts, XenFacts } from './facts.ts';

/** From harmless to bad. */
const results = ['skip', 'pass', 'warn', 'fail'] as const;
export type Result = (typeof results)[number];

export interface Finding {
  readonly result: Result;
  /** What was found, in a few words. */
  readonly what: string;
  /** Why that matters; empty when it goes without saying. */
  readonly why: string;
  /** What to do about it; empty when there is nothing to do. */
  readonly remedy: string;
  /** What a failure would be refused with; null unless it is one. */
  readonly reason: Reason | null;
  /** The findings on each function, where the check is about functions. */
  readonly functions?: readonly FunctionFinding[];
}

export interface FunctionFinding extends Omit<Finding, 'functions'> {
  readonly sbdf: string;
}

export interface Check {
  readonly id: string;
  readonly question: string;
  /** Undefined where the question makes no sense for what is judged. */
  readonly check: (facts: Facts) => Finding | undefined;
}

export interface Stage {
  readonly stage: string;
  readonly title: string;
  readonly checks: readonly Check[];
}

const finding =
  (result: Result) =>
  (what: string, why = '', remedy = ''): Finding => ({ result, what, why, remedy, reason: null });

export const pass = finding('pass');
export const warn = finding('warn');
export const skip = finding('skip');
export const fail = (reason: Reason, what: string, why: string, remedy: string): Finding => ({
  result: 'fail',
  what,
  why,
  remedy,
  reason,
});

/** What a refusal makes of a check that needed what was refused. */
export const refused = ({ reason, message, remedy }: PcibackError, why: string): Finding =>
  fail(reason, message, why, remedy);

/** Functions that were named, and that are not there; undefined when all are. */
export function missing(unresolved: readonly PcibackError[], why: string): Finding | undefined {
  const [first] = unresolved;
  if (!first) return undefined;
  return fail(first.reason, unresolved.map(({ message }) => message).join('; '), why, first.remedy);
}

/** How the first of several is said to be one: `, and 2 more`. */
export const andMore = (all: readonly unknown[]): string =>
  all.length > 1 ? `, and ${all.length - 1} more` : '';

/** The worst result. */
export const worst = (all: readonly Result[]): Result =>
  all.reduce((bad, each) => (results.indexOf(each) > results.indexOf(bad) ? each : bad), 'skip');

/** A question about this machine. */
export const ofMachine = (
  id: string,
  question: string,
  judge: (machine: MachineFacts, facts: Facts) => Finding,
): Check => ({
  id,
  question,
  check: (facts) => (facts.machine ? judge(facts.machine, facts) : undefined),
});

/** A question about Xen under this machine. */
export const ofXen = (
  id: string,
  question: string,
  judge: (xen: XenFacts, machine: MachineFacts, facts: Facts) => Finding,
): Check =>
  ofMachine(id, question, (machine, facts) =>
    machine.xen ? judge(machine.xen, machine, facts) : skip('not to be told without Xen'),
  );

/** A question about each function that is judged. A model is never asked. */
export const ofFunctions = (
  id: string,
  question: string,
  judge: (fn: KnownFunction, facts: Facts) => Finding,
): Check => ({
  id,
  question,
  check: (facts) => {
    if (facts.scope === 'loopback') return undefined;
    const isJudged = ({ sbdf }: { readonly sbdf: Sbdf }): boolean => facts.subjects.includes(sbdf);
    const judged = facts.functions.filter(isJudged);
    return summary(
      [
        ...judged.map((fn) => ({ sbdf: formatSbdf(fn.sbdf), ...judge(fn, facts) })),
        ...facts.silent
          .filter(isJudged)
          .map(({ sbdf, problem }) => ({ sbdf: formatSbdf(sbdf), ...skip(`it ${problem}`) })),
      ],
      facts.named,
    );
  },
});

/**
 * One finding out of those on several functions. Where nobody named a function it is no failure that some cannot be exported;
 * that none can is one.
 */
export function summary(functions: readonly FunctionFinding[], named: boolean): Finding {
  const [first, ...others] = functions;
  if (!first) return skip('there is no function to judge');
  const bad = worst(functions.map(({ result }) => result));
  const spared = !named && bad === 'fail' && functions.some(({ result }) => result !== 'fail');
  const one = functions.find(({ result }) => result === bad) ?? first;
  if (others.length === 0) {
    const { sbdf, ...found } = one;
    return { ...found, what: `${sbdf}: ${found.what}`, functions };
  }
  const isSame = others.every((each) => sayingOf(each) === sayingOf(first));
  return {
    result: spared ? 'warn' : bad,
    what: isSame
      ? `all ${functions.length} functions: ${first.what}`
      : tally(functions.map(({ result }) => result)),
    why: isSame ? first.why : '',
    remedy: isSame ? first.remedy : '',
    reason: spared ? null : one.reason,
    functions,
  };
}

/** Equal for findings that say the same, of whatever function. */
export const sayingOf = ({ result, what, why, remedy }: Omit<Finding, 'reason'>): string =>
  JSON.stringify([result, what, why, remedy]);

/** `2 of 5 functions pass, 1 fails, 2 cannot be judged` */
function tally(all: readonly Result[]): string {
  const count = (result: Result): number => all.filter((each) => each === result).length;
  if (count('pass') === all.length) return `all ${all.length} functions pass`;
  const words: readonly [Result, string, string][] = [
    ['fail', 'fails', 'fail'],
    ['warn', 'is to be looked at', 'are to be looked at'],
    ['pass', 'passes', 'pass'],
    ['skip', 'cannot be judged', 'cannot be judged'],
  ];
  const parts = words.flatMap(([result, singular, plural]) => {
    const times = count(result);
    return times === 0 ? [] : [`${times} ${times === 1 ? singular : plural}`];
  });
  return `of ${all.length} functions ${parts.join(', ')}`;
}

/** `a, b and c` */
export function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} and ${last}` : last;
}

type Named = Pick<KnownFunction | SilentFunction, 'sbdf' | 'driver'>;

/** At most this many by name: a bus can hold hundreds. */
const mostNamed = 8;

/** Functions with who drives each of them: `0000:00:1d.0 (ehci_hcd)`. */
export function nameFunctions(functions: readonly Named[]): string {
  const words = functions
    .slice(0, mostNamed)
    .map(({ sbdf, driver }) => formatSbdf(sbdf) + (driver === null ? '' : ` (${driver})`));
  const more = functions.length - words.length;
  return listed(more > 0 ? [...words, `${more} more`] : words);
}

/** Drivers that hold a function for guests and do nothing with it themselves. */
const stubDrivers = new Set(['pciback', 'pci-stub', 'xen-pciback']);

/** Whether a driver of the host works with the function. */
export const isDriven = ({ driver }: Named): boolean => driver !== null && !stubDrivers.has(driver);
