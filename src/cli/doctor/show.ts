/** A diagnosis for people: a line for each check, and under what is not well why, and what to do. */
import {
  type CheckReport,
  type Diagnosis,
  type FunctionFinding,
  type Result,
  sayingOf,
} from '../../doctor/index.ts';
import { elide } from '../failure.ts';
import type { Output } from '../output.ts';

const colours: Readonly<Record<Result, Parameters<Output['style']>[0]>> = {
  pass: 'green',
  warn: 'yellow',
  fail: 'red',
  skip: 'dim',
};

const verbs: Readonly<Record<Result, string>> = {
  pass: 'passed',
  warn: 'to be looked at',
  fail: 'failed',
  skip: 'skipped',
};

/** The last line stays one. */
const mostNamed = 8;

type Explained = Pick<FunctionFinding, 'result' | 'why' | 'remedy'>;

const reasonLines = ({ result, why, remedy }: Explained, indent: string): readonly string[] =>
  result === 'pass'
    ? []
    : [
        ...(why === '' ? [] : [`${indent}why: ${elide(why)}`]),
        ...(remedy === '' ? [] : [`${indent}do:  ${elide(remedy)}`]),
      ];

/** Functions with the same trouble are told of together; where all is well they go without saying. */
function functionLines(functions: readonly FunctionFinding[], indent: string): readonly string[] {
  const groups = new Map<string, FunctionFinding[]>();
  for (const each of functions) {
    if (each.result === 'pass') continue;
    const key = sayingOf(each);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const names = group.map(({ sbdf }) => sbdf).join(' ');
    return [`${indent}${names}: ${elide(first.what)}`, ...reasonLines(first, `${indent}  `)];
  });
}

function checkLines(check: CheckReport, width: number, output: Output): readonly string[] {
  const { id, result, what, why, remedy, functions = [] } = check;
  const head = `  ${output.style(colours[result], result)}  ${id.padEnd(width)}  ${elide(what)}`;
  // What is said of all alike stands in the head.
  const isTold = new Set(functions.map(sayingOf)).size <= 1;
  const indent = ' '.repeat(2 + result.length + 2 + width + 2);
  return [
    head,
    ...reasonLines({ result, why, remedy }, indent),
    ...(isTold ? [] : functionLines(functions, indent)),
  ];
}

export function showDiagnosis({ stages, functions }: Diagnosis, output: Output): void {
  const checks = stages.flatMap((stage) => stage.checks);
  const width = Math.max(...checks.map(({ id }) => id.length));
  for (const [position, stage] of stages.entries()) {
    output.print([...(position > 0 ? [''] : []), output.style('bold', `${position + 1}. ${stage.title}`)]);
    for (const check of stage.checks) output.print(checkLines(check, width, output));
  }
  const counts = (['pass', 'warn', 'fail', 'skip'] as const).map((result) => {
    const count = checks.filter((check) => check.result === result).length;
    return `${count} ${verbs[result]}`;
  });
  const fit = functions.filter(({ result }) => result !== 'fail').map(({ sbdf }) => sbdf);
  const names = fit.length > mostNamed ? `${fit.length} functions` : fit.join(' ') || 'none';
  const isAbout = checks.some((check) => check.functions);
  const about = isAbout ? `; functions without a failure: ${names}` : '';
  output.print(['', `${checks.length} checks: ${counts.join(', ')}${about}`]);
}
