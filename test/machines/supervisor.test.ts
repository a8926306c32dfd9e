import { describe, expect, test } from 'vitest';
import { type SupervisorEvent, supervisorMachine } from '../../machines/supervisor.ts';
import { PcibackError } from '../../src/errors.ts';
import { done, failed, follow, leafStates, withEndlessEffects } from './pairs.ts';

const machine = withEndlessEffects(supervisorMachine);
const fine = { severed: false, failure: null };
/** Losing xenstored shows in the context wherever it happens. */
const contextIn = (state: string) => ({ ...fine, severed: state === 'severed' });
const events: SupervisorEvent['type'][] = ['xenstoreLost', 'xenstoreBack', 'stop', 'handOver'];

/** Where each event leads from each state; an event that is not named is refused. */
const table: Record<string, Partial<Record<SupervisorEvent['type'], string>>> = {
  opening: { stop: 'leaving' },
  waiting: { stop: 'leaving' },
  adopting: { stop: 'draining', handOver: 'leaving' },
  hiding: { stop: 'draining', handOver: 'leaving' },
  ready: { xenstoreLost: 'severed', stop: 'draining', handOver: 'leaving' },
  severed: { xenstoreBack: 'ready', stop: 'draining', handOver: 'leaving' },
  failing: {},
  draining: {},
  leaving: {},
  stopped: {},
  failed: {},
};

test('the table names every state', () => {
  expect(Object.keys(table).toSorted()).toEqual(leafStates(supervisorMachine).toSorted());
});

describe.each(Object.keys(table))('in %s', (state) => {
  test.each(events)('%s', (type) => {
    expect(follow(machine, state, contextIn(state), { type }).state).toBe(table[state]?.[type] ?? state);
  });
});

test.each([
  ['opening', 'waiting'],
  ['waiting', 'adopting'],
  ['adopting', 'hiding'],
  ['hiding', 'ready'],
  ['failing', 'failed'],
  ['draining', 'stopped'],
  ['leaving', 'stopped'],
])('%s, when its effect is done, leads to %s', (state, expected) => {
  expect(follow(machine, state, fine, done(supervisorMachine, state)).state).toBe(expected);
});

const error = new PcibackError('NO-XENSTORE', 'nobody answers', 'start xenstored');
test('a daemon that loses xenstored while it comes up is severed when it is up', () => {
  const lost = follow(machine, 'hiding', fine, { type: 'xenstoreLost' });
  expect(lost.state).toBe('hiding');
  expect(follow(machine, 'hiding', lost.context, done(supervisorMachine, 'hiding')).state).toBe('severed');
});

const failure = { reason: 'NO-XENSTORE', message: 'nobody answers', remedy: 'start xenstored' };

test.each([
  ['opening', 'failing', { severed: false, failure }],
  ['waiting', 'failing', { severed: false, failure }],
  ['adopting', 'failing', { severed: false, failure }],
  ['hiding', 'failing', { severed: false, failure }],
  ['failing', 'failed', fine],
  ['draining', 'failed', { severed: false, failure }],
  ['leaving', 'failed', { severed: false, failure }],
])('%s, when its effect fails, leads to %s', (state, expected, context) => {
  expect(follow(machine, state, fine, failed(supervisorMachine, state, error))).toEqual({
    state: expected,
    context,
  });
});
