import { describe, expect, test } from 'vitest';
import { createActor, fromPromise, waitFor } from 'xstate';
import {
  type FunctionContext,
  type FunctionEvent,
  type ResetInput,
  type ResetOutcome,
  functionMachine,
  functionState,
} from '../../machines/function.ts';
import { makeSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { done, failed, follow, leafStates, stateName, withEndlessEffects } from './pairs.ts';

const sbdf = makeSbdf(0, 3, 0, 0);
const guestAddress = makeSbdf(0, 0, 1, 0);
const machine = withEndlessEffects(functionMachine);
const owned: FunctionContext = { sbdf, owner: 5, guestAddress, failure: null, heldBy: null };

const events: FunctionEvent[] = [
  { type: 'bind', owner: 5, guestAddress },
  { type: 'connect' },
  { type: 'disconnect' },
  { type: 'flr' },
  { type: 'release' },
  { type: 'reset' },
];

/** Where each event leads from each state; an event that is not named is refused: nothing changes. */
const table: Record<string, Partial<Record<FunctionEvent['type'], string>>> = {
  hidden: { bind: 'binding', reset: 'reset' },
  binding: {},
  bound: { connect: 'connected.serving', release: 'reset' },
  'connected.serving': { disconnect: 'bound', release: 'reset', flr: 'connected.flr' },
  'connected.flr': { disconnect: 'bound', release: 'reset' },
  'connected.dead': { disconnect: 'bound', release: 'reset' },
  reset: {},
  quarantined: { reset: 'reset' },
};

test('the table names every state', () => {
  expect(Object.keys(table).toSorted()).toEqual(leafStates(functionMachine).toSorted());
});

describe.each(Object.keys(table))('in %s', (state) => {
  test.each(events.map((event) => [event.type, event] as const))('%s', (type, event) => {
    const after = follow(machine, state, owned, event);
    expect(after.state).toBe(table[state]?.[type] ?? state);
    if (table[state]?.[type] === undefined) expect(after.context).toEqual(owned);
  });
});

const broken = new PcibackError('RESET-FAILED', 'the BARs differ', 'power the slot off');
const failure = { reason: 'RESET-FAILED', message: 'the BARs differ', remedy: 'power the slot off' } as const;
const halfGiven = new PcibackError('QUARANTINED', 'Xen gave half of it', 'destroy the guest');
const outcome = { method: 'flr', milliseconds: 101 };

test.each([
  ['binding', done(functionMachine, 'binding'), 'bound', owned],
  [
    'binding',
    failed(functionMachine, 'binding', broken),
    'hidden',
    {
      ...owned,
      owner: null,
      guestAddress: null,
      failure,
    },
  ],
  ['connected.flr', done(functionMachine, 'connected.flr', outcome), 'connected.serving', owned],
  [
    'connected.flr',
    failed(functionMachine, 'connected.flr', broken),
    'connected.dead',
    { ...owned, failure },
  ],
  ['reset', done(functionMachine, 'reset', outcome), 'hidden', { ...owned, owner: null, guestAddress: null }],
  [
    'reset',
    failed(functionMachine, 'reset', broken),
    'quarantined',
    {
      ...owned,
      owner: null,
      guestAddress: null,
      failure,
      heldBy: 5,
    },
  ],
  [
    'binding',
    failed(functionMachine, 'binding', halfGiven),
    'quarantined',
    {
      ...owned,
      owner: null,
      guestAddress: null,
      failure: { reason: 'QUARANTINED', message: 'Xen gave half of it', remedy: 'destroy the guest' },
      heldBy: 5,
    },
  ],
] as const)('%s, when its effect ends with %o', (state, event, expected, context) => {
  expect(follow(machine, state, owned, event)).toEqual({ state: expected, context });
});

test('a stored machine goes on where it was, and a reset that was under way is done again', async () => {
  let resets = 0;
  const provided = functionMachine.provide({
    actors: {
      bind: fromPromise<void, FunctionContext>(async () => undefined),
      reset: fromPromise<ResetOutcome, ResetInput>(async () => {
        resets++;
        if (resets === 1) await new Promise(() => {});
        return outcome;
      }),
    },
  });
  const first = createActor(provided, { input: { sbdf } }).start();
  first.send({ type: 'bind', owner: 5, guestAddress });
  await waitFor(first, (snapshot) => snapshot.matches('bound'));
  first.send({ type: 'release' });
  const stored = JSON.parse(JSON.stringify(first.getPersistedSnapshot())) as ReturnType<
    typeof first.getPersistedSnapshot
  >;
  expect(stateName(first.getSnapshot().value)).toBe('reset');

  const second = createActor(provided, { input: { sbdf }, snapshot: stored });
  const told: unknown[] = [];
  second.on('resetDone', (event) => told.push(event));
  second.start();
  await waitFor(second, (snapshot) => snapshot.matches('hidden'));
  expect(resets).toBe(2);
  expect(told).toEqual([{ type: 'resetDone', outcome, byGuest: false }]);
  expect(second.getSnapshot().context.owner).toBeNull();
});

test('the names of the states', () => {
  expect(functionState('hidden')).toBe('hidden');
  expect(functionState({ connected: 'serving' })).toBe('connected');
  expect(functionState({ connected: 'flr' })).toBe('connected.flr');
});
