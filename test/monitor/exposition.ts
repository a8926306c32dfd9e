/** A strict reader of the Prometheus text format 0.0.4: what it does not throw at, a server can scrape. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const sampleLine = /^(?<name>[^\s{]+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/;
const labelPair = /(?<key>[^=,{}"]+)="(?<value>(?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

function fail(line: string, why: string): never {
  throw new Error(`${why}: ${line}`);
}

function readLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  labelPair.lastIndex = 0;
  while (labelPair.lastIndex < text.length) {
    const { key = '', value = '' } = labelPair.exec(text)?.groups ?? fail(line, 'labels cannot be read');
    if (!labelName.test(key) || key.startsWith('__')) fail(line, `no label name: ${key}`);
    if (Object.hasOwn(labels, key)) fail(line, `label given twice: ${key}`);
    labels[key] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
  }
  return labels;
}

const suffixes: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};

/** Reads a scrape. Throws at the first line that is wrong. */
export function readExposition(text: string): ReadonlyMap<string, MetricFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  const seen = new Set<string>();
  let current: { name: string; type: string; help: string; samples: Sample[] } | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (?<kind>HELP|TYPE) (?<name>\S+) (?<rest>.+)$/.exec(line)?.groups;
    if (comment) {
      const { kind, name = '', rest = '' } = comment;
      if (!metricName.test(name)) fail(line, 'no metric name');
      if (kind === 'HELP') {
        if (families.has(name)) fail(line, 'a family comes twice');
        if (!/^[A-Z0-9].*\.$/.test(rest)) fail(line, 'the help is no sentence');
        current = { name, type: '', help: rest, samples: [] };
        families.set(name, current);
      } else {
        if (!current || current.name !== name || current.type !== '') fail(line, 'TYPE without its HELP');
        if (!Object.hasOwn(suffixes, rest)) fail(line, 'unknown type');
        current.type = rest;
        if ((rest === 'counter') !== name.endsWith('_total')) fail(line, '_total is for counters');
      }
      continue;
    }
    const { name = '', labels = '', value = '' } = sampleLine.exec(line)?.groups ?? fail(line, 'no sample');
    if (!current || current.type === '') fail(line, 'a sample without a family');
    const { name: family, type, samples } = current;
    if (!suffixes[type]?.some((suffix) => name === family + suffix)) fail(line, 'not of this family');
    const read = readLabels(labels, line);
    const pairs = Object.entries(read).map(([label, its]) => `${label}=${JSON.stringify(its)}`);
    const key = `${name}{${pairs.toSorted().join()}}`;
    if (seen.has(key)) fail(line, 'a series comes twice');
    seen.add(key);
    const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
    if (Number.isNaN(number)) fail(line, 'no number');
    if (type !== 'gauge' && number < 0) fail(line, 'below zero');
    samples.push({ name, labels: read, value: number });
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

function checkHistogram({ name, samples }: MetricFamily): void {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])));
    const rises = (numbers: readonly number[]): boolean =>
      numbers.every((each, index) => index === 0 || each >= (numbers[index - 1] ?? 0));
    const count = group.find((sample) => sample.name === `${name}_count`)?.value;
    if (bounds.at(-1) !== Infinity || !rises(bounds) || !rises(buckets.map(({ value }) => value)))
      throw new Error(`the buckets of ${name}${key} are out of order`);
    if (buckets.at(-1)?.value !== count) throw new Error(`${name}${key} counts differently`);
  }
}

/** The value of one series; undefined when there is none. */
export function valueOf(
  families: ReadonlyMap<string, MetricFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = [...families.values()].find(({ samples }) => samples.some((each) => each.name === name));
  return family?.samples.find(
    (each) =>
      each.name === name &&
      Object.keys(each.labels).length === Object.keys(labels).length &&
      Object.entries(labels).every(([key, value]) => each.labels[key] === value),
  )?.value;
}
