/** What becomes of a guest whose functions, front-end or back-end come and go. */
import { describe, expect, test } from 'vitest';
import { SimulatedClock, createActor } from 'xstate';
import type { GuestEvent } from '../../../machines/guest.ts';
import type { PublishedRing } from '../../../src/ring/index.ts';
import {
  type DeviceEntry,
  type FrontendKeys,
  type GuestView,
  XenbusState,
  absentView,
} from '../../../src/xenbus/index.ts';
import { follow } from '../pairs.ts';
import { another, contextIn, listed, machine, view } from './support.ts';

const { Unknown, Initialising, InitWait, Initialised, Connected, Closing, Reconfiguring } = XenbusState;

const seeing = (now: GuestView): GuestEvent => ({ type: 'observed', view: now });

describe('functions that come and go', () => {
  const observe = (state: string, own: XenbusState, frontend: XenbusState, devices: DeviceEntry[]): string =>
    follow(machine, state, contextIn(state), seeing(view(own, frontend, { devices }))).state;

  test('one more while the guest starts is exported without a change of state', () => {
    const devices = [listed(Initialised), { ...listed(Initialising, another), index: 1 }];
    expect(observe('initialised', Initialised, Initialising, devices)).toBe('exporting');
    expect(observe('initialised', Initialised, Initialised, devices)).toBe('exporting');
  });
  test('one that is to go before the front-end is up is taken back', () => {
    expect(observe('initialised', Initialised, Initialising, [listed(Closing)])).toBe('exporting');
  });
  test('one that is to go and is not here any more keeps nobody busy', () => {
    expect(observe('initialised', Initialised, Initialising, [listed(Closing, another)])).toBe('initialised');
  });
  test('into a running guest they come when both have gone to Reconfiguring', () => {
    const devices = [listed(Initialised), { ...listed(Initialising, another), index: 1 }];
    expect(observe('connected', Connected, Connected, devices)).toBe('connected');
    expect(observe('connected', Reconfiguring, Connected, devices)).toBe('connected');
    expect(observe('connected', Connected, Reconfiguring, devices)).toBe('connected');
    expect(observe('connected', Reconfiguring, Reconfiguring, devices)).toBe('reconfiguring');
  });
});

test.each([
  ['was never up', Initialising, 'shutting'],
  ['has no directory yet', Unknown, 'shutting'],
  ['is still connected', Connected, 'closing'],
  ['is closing', Closing, 'closing'],
])('a device that is to go, whose front-end %s', (_, frontendState, expected) => {
  const context = contextIn('closing', { frontendSeen: false });
  for (const more of [{ online: false }, {}]) {
    const event: GuestEvent = { type: 'observed', view: view(Closing, frontendState, more) };
    const stopping = !('online' in more);
    expect(follow(machine, 'closing', { ...context, stopping }, event).state).toBe(expected);
  }
  const online: GuestEvent = { type: 'observed', view: view(Closing, frontendState) };
  expect(follow(machine, 'closing', context, online).state).toBe('closing');
});

test('a number of functions that is none is something to deal with', () => {
  const event: GuestEvent = {
    type: 'observed',
    view: view(InitWait, Initialising, { devices: undefined, badCount: '-1' }),
  };
  expect(follow(machine, 'waiting', contextIn('waiting'), event).state).toBe('exporting');
});

test('a front-end that closed and started over unseen is served again', () => {
  const event: GuestEvent = { type: 'observed', view: view(Closing, Initialising) };
  const since = (frontendAtClosing: XenbusState): string =>
    follow(machine, 'closing', contextIn('closing', { frontendAtClosing }), event).state;
  expect(since(Connected)).toBe('shutting');
  expect(since(Initialising)).toBe('closing');
});

test('a directory without a front-end directory is not given up before that has been there', () => {
  const context = contextIn('initialised', { frontendSeen: false });
  const unseen: GuestEvent = { type: 'observed', view: view(Initialised, Unknown) };
  expect(follow(machine, 'initialised', context, unseen).state).toBe('initialised');
  expect(follow(machine, 'initialised', { ...context, frontendSeen: true }, unseen).state).toBe('releasing');
});

test.each([
  ['a new directory is announced', view(Initialising, Initialising), 'announcing'],
  ['an unfinished one is waited for', view(Unknown, Initialising), 'seen'],
  ['what another back-end served is taken over', view(Connected, Connected), 'adopting'],
  ['functions without a directory are given back', absentView(5), 'releasing'],
])('%s', (_, first, expected) => {
  const actor = createActor(machine, { input: { domid: 5, view: first } }).start();
  expect(actor.getSnapshot().value).toBe(expected);
  actor.stop();
});

test('a stop is patient from when it comes, however long the guest has been closing', () => {
  const clock = new SimulatedClock();
  const context = contextIn('closing', { view: view(Closing, Connected), frontendAtClosing: Connected });
  const snapshot = machine.resolveState({ value: 'closing', context });
  const actor = createActor(machine, { input: { domid: 5, view: context.view }, snapshot, clock }).start();
  clock.increment(60_000);
  expect(actor.getSnapshot().value).toBe('closing');
  actor.send({ type: 'stop' });
  clock.increment(4000);
  expect(actor.getSnapshot().value).toBe('closing');
  clock.increment(2000);
  expect(actor.getSnapshot().value).toBe('releasing');
  actor.stop();
});

describe('what a guest that died leaves', () => {
  test('a domain that xenstored does not know any more is gone', () => {
    const dead: GuestEvent = {
      type: 'observed',
      view: view(Initialised, Initialising, { introduced: false }),
    };
    expect(follow(machine, 'initialised', contextIn('initialised'), dead).state).toBe('releasing');
    const unseen = contextIn('initialised', { domainSeen: false });
    expect(follow(machine, 'initialised', unseen, dead).state).toBe('initialised');
  });

  test('a front-end that was connected to a back-end before this one is not waited for', () => {
    const first = view(Connected, Unknown, { introduced: false });
    const actor = createActor(machine, { input: { domid: 5, view: first } }).start();
    expect(actor.getSnapshot().value).toBe('releasing');
    actor.stop();
  });
});

test('a front-end that is Initialised again after it was Connected has another page', () => {
  const again: GuestEvent = { type: 'observed', view: view(Connected, Initialised) };
  const after = (frontendWasConnected: boolean): string =>
    follow(machine, 'connected', contextIn('connected', { frontendWasConnected }), again).state;
  expect(after(true)).toBe('restarting');
  expect(after(false)).toBe('connected');
});

describe('a front-end that is Initialised while it is served', () => {
  const servedRing = { grantRef: 8, port: 9 };
  const after = (frontendKeys: FrontendKeys | undefined, ring: PublishedRing | undefined): string => {
    const event: GuestEvent = { type: 'observed', view: view(Connected, Initialised, { frontendKeys }) };
    return follow(machine, 'connected', contextIn('connected', { servedRing: ring }), event).state;
  };

  test.each<FrontendKeys>([
    ['8', '10', '7'],
    ['7', '9', '7'],
    ['8', '9', '6'],
    [undefined, '9', '7'],
  ])('has another page when it publishes another: %s, %s, %s', (...keys) => {
    expect(after(keys, servedRing)).toBe('restarting');
  });

  test('has the same one when it publishes the same', () => {
    expect(after(['8', '9', '7'], servedRing)).toBe('connected');
    expect(after(['8\0', '9\0', '7\0'], servedRing)).toBe('connected');
  });

  test('is believed to have the same one where nobody has looked, or nothing is served', () => {
    expect(after(undefined, servedRing)).toBe('connected');
    expect(after(['8', '9', '7'], undefined)).toBe('connected');
  });
});
