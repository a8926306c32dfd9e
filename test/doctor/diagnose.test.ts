import { describe, expect, it } from 'vitest';
import { diagnose } from '../../src/doctor/index.ts';
import { sbdf } from '../host/support/functions.ts';
import { known, find, host, nic, onMachine, port, silent, sound } from './support.ts';

const order = ['platform', 'iommu', 'isolation', 'binding', 'guest'];

describe('a diagnosis', () => {
  it('goes through the stages in order, whatever is judged', () => {
    const tree = host([nic], { scope: 'tree', machine: null, store: null });
    const models = host([], { scope: 'loopback', machine: null, subjects: [nic.sbdf] });
    for (const facts of [host(), onMachine({ xen: null }), tree, models]) {
      expect(diagnose(facts).stages.map(({ stage }) => stage)).toEqual(order);
    }
  });

  it('is well on a host where nothing fails', () => {
    const { ok, functions, stages } = diagnose(host());
    expect(ok).toBe(true);
    expect(functions).toEqual([{ sbdf: '0000:41:00.0', result: 'pass', fails: [] }]);
    const results = stages.flatMap(({ checks }) => checks.map(({ result }) => result));
    expect(results.filter((result) => result === 'warn' || result === 'fail')).toEqual([]);
  });

  it('is not well without Xen, and says what can be told', () => {
    const facts = onMachine({ xen: null });
    expect(diagnose(facts).ok).toBe(false);
    expect(find('iommu', facts)?.result).toBe('skip');
    expect(find('shared-pages', facts)?.result).toBe('pass');
    expect(find('firmware', facts)?.result).toBe('pass');
  });

  it('asks models nothing that concerns hardware', () => {
    const facts = host([], { scope: 'loopback', machine: null, subjects: [nic.sbdf] });
    const { stages, ok } = diagnose(facts);
    expect(ok).toBe(true);
    expect(stages[1]?.checks.map(({ what }) => what)).toEqual(['models need none of this']);
    expect(stages[2]?.checks.map(({ what }) => what)).toEqual(['models need none of this']);
    expect(stages[3]?.checks.map(({ id }) => id)).toEqual(['state']);
  });

  it('asks a captured tree nothing that concerns the machine it came from', () => {
    const tree = host([nic], {
      scope: 'tree',
      machine: null,
      store: null,
      daemon: { ok: true, value: undefined },
    });
    const { stages } = diagnose(tree);
    expect(stages[0]?.checks.map(({ id }) => id)).toEqual(['functions']);
    expect(stages[1]?.checks.map(({ what }) => what)).toEqual(['a captured tree does not tell']);
    expect(find('reset', tree)?.result).toBe('pass');
    expect(find('state', tree)).toBeUndefined();
  });
});

describe('a function that does not answer', () => {
  const facts = host([sound, port], { silent: [silent()], subjects: [nic.sbdf] });

  it('fails for that alone: of its registers nothing is told', () => {
    const checks = diagnose(facts).stages.flatMap((stage) => stage.checks);
    const about = checks.filter(({ functions = [] }) =>
      functions.some((each) => each.sbdf === '0000:41:00.0'),
    );
    expect(about.length).toBeGreaterThan(10);
    for (const { id, result, what } of about.filter((each) => !['functions', 'state'].includes(each.id))) {
      expect([id, result, what]).toEqual([
        id,
        'skip',
        '0000:41:00.0: it does not answer (power state D3cold)',
      ]);
    }
    expect(diagnose(facts).functions).toEqual([
      { sbdf: '0000:41:00.0', result: 'fail', fails: ['functions'] },
    ]);
  });

  it('keeps its place beside others: pages, a device and a bus that it shares are shared', () => {
    const beside = { ...nic, sbdf: sbdf('41:00.1') };
    const judged = host([beside], { silent: [silent()] });
    expect(find('shared-pages', judged)?.what).toContain('0000:41:00.0');
    expect(find('siblings', judged)?.what).toContain('0000:41:00.0');
  });
});

describe('a check of several functions', () => {
  const dead = { ...sound, irq: 0 };
  const both = { subjects: [nic.sbdf, dead.sbdf] };

  it('fails when one that was named fails', () => {
    const facts = host([nic, dead], both);
    expect(find('interrupts', facts)).toMatchObject({
      result: 'fail',
      reason: 'NO-INTERRUPT',
      what: 'of 2 functions 1 fails, 1 passes',
    });
    expect(diagnose(facts).functions).toEqual([
      { sbdf: '0000:41:00.0', result: 'pass', fails: [] },
      { sbdf: '0000:44:02.0', result: 'fail', fails: ['interrupts'] },
    ]);
  });

  it('is only to be looked at when nobody named the one that fails', () => {
    const found = find('interrupts', host([nic, dead], { ...both, named: false }));
    expect(found).toMatchObject({ result: 'warn', reason: null });
    expect(found?.functions?.map(({ result }) => result)).toEqual(['pass', 'fail']);
  });

  it('fails also then when none passes', () => {
    const found = find('interrupts', host([dead], { named: false }));
    expect(found).toMatchObject({ result: 'fail', reason: 'NO-INTERRUPT' });
  });

  it('says what holds for all alike once, with the remedy', () => {
    const others = [sound, known('8086:2415', { sbdf: nic.sbdf })];
    const found = find('reset', host(others, { subjects: others.map((fn) => fn.sbdf) }));
    expect(found?.what).toBe('all 2 functions: no method to reset it alone');
    expect(found?.remedy).toMatch(/leave it to the host/);
  });

  it('has nothing to say without functions', () => {
    expect(find('reset', host([port], { subjects: [], named: false }))).toMatchObject({ result: 'skip' });
  });
});
