import { describe, expect, test } from 'vitest';
import { SimulatedClock, createActor } from 'xstate';
import { type GuestContext, type GuestEvent, type Position, guestMachine } from '../../machines/guest.ts';
import { makeSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import {
  type DeviceEntry,
  type GuestView,
  XenbusState,
  absentView,
  frontendPath,
} from '../../src/xenbus/index.ts';
import { done, failed, follow, leafStates, withEndlessEffects } from './pairs.ts';

const machine = withEndlessEffects(guestMachine);
const sbdf = makeSbdf(0, 3, 0, 0);
const another = makeSbdf(0, 4, 0, 0);

const listed = (state: XenbusState, address = sbdf): DeviceEntry => ({
  index: 0,
  sbdf: address,
  state,
  vdev: undefined,
  requestedDevfn: 0,
  permissive: false,
});

const view = (own: XenbusState, frontend: XenbusState, more: Partial<GuestView> = {}): GuestView => ({
  present: true,
  state: own,
  online: true,
  name: 'guest',
  frontendPath: frontendPath(5),
  frontendState: frontend,
  introduced: true,
  ended: false,
  devices: [listed(XenbusState.Initialised)],
  badCount: undefined,
  ...more,
});

/** The state that we have left in xenstore when the machine is in each of its states. */
const written: Record<string, XenbusState> = {
  seen: XenbusState.Unknown,
  announcing: XenbusState.Initialising,
  waiting: XenbusState.InitWait,
  exporting: XenbusState.InitWait,
  initialised: XenbusState.Initialised,
  adopting: XenbusState.Connected,
  connecting: XenbusState.Initialised,
  connected: XenbusState.Connected,
  reconfiguring: XenbusState.Reconfiguring,
  reconfigured: XenbusState.Reconfigured,
  resuming: XenbusState.Reconfigured,
  restarting: XenbusState.Connected,
  disconnecting: XenbusState.Connected,
  closing: XenbusState.Closing,
  shutting: XenbusState.Closing,
  closed: XenbusState.Closed,
  failing: XenbusState.Connected,
  releasing: XenbusState.Closed,
  released: XenbusState.Closed,
};

const contextIn = (state: string, more: Partial<GuestContext> = {}): GuestContext => ({
  domid: 5,
  view: view(
    written[state] ?? 0,
    XenbusState.Initialising,
    state === 'waiting' ? { devices: undefined } : {},
  ),
  frontendSeen: true,
  domainSeen: true,
  frontendWasConnected: false,
  exported: [sbdf],
  failure: null,
  workerLost: false,
  ringLost: false,
  frontendAtClosing: XenbusState.Initialising,
  stopping: false,
  ...more,
});

const {
  Unknown,
  Initialising,
  InitWait,
  Initialised,
  Connected,
  Closing,
  Closed,
  Reconfiguring,
  Reconfigured,
} = XenbusState;

/** States that last as long as their effect: what happens meanwhile is noted, and decided on when it is over. */
const working = [
  'announcing',
  'exporting',
  'adopting',
  'connecting',
  'reconfiguring',
  'resuming',
  'restarting',
  'disconnecting',
  'shutting',
  'failing',
  'releasing',
];

interface Resting {
  /** Where each state of the front-end leads, with nothing else out of the ordinary. Not named: nowhere. */
  readonly frontend: Partial<Record<XenbusState, string>>;
  /** Where it leads when the toolstack writes into our directory, or takes it away. */
  readonly toldToClose?: string;
  readonly replaced?: string;
  readonly gone?: string;
  readonly stop?: string;
  readonly offline?: string;
  readonly workerDied?: string;
  readonly ringLost?: string;
}

const resting: Record<string, Resting> = {
  seen: {
    frontend: { [Unknown]: 'releasing' },
    gone: 'releasing',
    replaced: 'announcing',
    stop: 'released',
    toldToClose: 'adopting',
  },
  waiting: {
    frontend: { [Unknown]: 'releasing' },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'releasing',
    toldToClose: 'disconnecting',
  },
  initialised: {
    frontend: {
      [Unknown]: 'releasing',
      [Initialised]: 'connecting',
      [Closing]: 'disconnecting',
      [Closed]: 'disconnecting',
    },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'disconnecting',
    toldToClose: 'disconnecting',
    workerDied: 'adopting',
  },
  connected: {
    frontend: {
      [Unknown]: 'releasing',
      [Initialising]: 'restarting',
      [Closing]: 'disconnecting',
      [Closed]: 'disconnecting',
    },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'disconnecting',
    toldToClose: 'disconnecting',
    workerDied: 'adopting',
    ringLost: 'disconnecting',
  },
  reconfigured: {
    frontend: {
      [Unknown]: 'releasing',
      [Initialising]: 'restarting',
      [Connected]: 'resuming',
      [Closing]: 'disconnecting',
      [Closed]: 'disconnecting',
    },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'disconnecting',
    toldToClose: 'disconnecting',
    workerDied: 'adopting',
    ringLost: 'disconnecting',
  },
  closing: {
    frontend: { [Unknown]: 'releasing', [Closed]: 'shutting' },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'shutting',
    offline: 'shutting',
  },
  closed: {
    frontend: { [Unknown]: 'releasing', [Initialising]: 'announcing', [Initialised]: 'announcing' },
    gone: 'releasing',
    replaced: 'releasing',
    stop: 'releasing',
    offline: 'releasing',
  },
  released: { frontend: {} },
};

/** A front-end state that moves nothing in a resting state, to tell the other events apart from. */
const quiet: Record<string, XenbusState> = { connected: InitWait, reconfigured: InitWait, closed: InitWait };

const quietContext = (state: string, more: Partial<GuestContext> = {}): GuestContext => {
  const context = contextIn(state, more);
  return { ...context, view: { ...context.view, frontendState: quiet[state] ?? Initialising } };
};

test('the tables name every state', () => {
  expect([...working, ...Object.keys(resting)].toSorted()).toEqual(leafStates(guestMachine).toSorted());
});

describe.each(Object.entries(resting))('resting in %s', (state, rules) => {
  const after = (event: GuestEvent, more: Partial<GuestContext> = {}): string =>
    follow(machine, state, quietContext(state, more), event).state;
  const seen = (more: Partial<GuestView>): GuestEvent => ({
    type: 'observed',
    view: { ...quietContext(state).view, ...more },
  });

  test.each(Object.entries(XenbusState))('the front-end goes to %s', (_, frontendState) => {
    expect(after(seen({ frontendState }))).toBe(rules.frontend[frontendState] ?? state);
  });
  test('the toolstack writes Closing into our directory', () => {
    expect(after(seen({ state: Closing }))).toBe(rules.toldToClose ?? state);
  });
  test('the directory goes away', () => {
    expect(after({ type: 'observed', view: absentView(5) })).toBe(rules.gone ?? state);
  });
  test('the directory is removed, and a new one made', () => {
    expect(after(seen({ state: Initialising }))).toBe(rules.replaced ?? state);
  });
  test('the device goes offline', () => {
    expect(after(seen({ online: false }))).toBe(rules.offline ?? state);
  });
  test('the daemon stops', () => {
    expect(after({ type: 'stop' })).toBe(rules.stop ?? state);
  });
  test('the worker dies', () => {
    expect(after({ type: 'workerDied' })).toBe(rules.workerDied ?? state);
  });
  test('the page vanishes', () => {
    expect(after({ type: 'ringLost' })).toBe(rules.ringLost ?? state);
  });
});

describe.each(working)('while %s', (state) => {
  const events: GuestEvent[] = [
    { type: 'observed', view: absentView(5) },
    { type: 'observed', view: view(Closing, Closed, { online: false }) },
    { type: 'stop' },
    { type: 'workerDied' },
    { type: 'ringLost' },
  ];
  test.each(events)('%o does not interrupt', (event) => {
    const after = follow(machine, state, contextIn(state), event);
    expect(after.state).toBe(state);
    if (event.type === 'observed') expect(after.context.view).toEqual(event.view);
    if (event.type === 'stop') expect(after.context.stopping).toBe(true);
  });
});

describe('when an effect is done', () => {
  test.each([
    ['announcing', view(InitWait, Initialising, { devices: undefined }), 'waiting'],
    ['announcing', view(InitWait, Initialising), 'exporting'],
    ['exporting', view(Initialised, Initialising), 'initialised'],
    ['exporting', view(Initialised, Initialised), 'connecting'],
    ['connecting', view(Connected, Initialised), 'connected'],
    ['connecting', view(Closing, Initialised), 'disconnecting'],
    ['reconfiguring', view(Reconfigured, Reconfiguring), 'reconfigured'],
    ['reconfiguring', view(Reconfigured, Connected), 'resuming'],
    ['resuming', view(Connected, Connected), 'connected'],
    ['restarting', view(InitWait, Initialising), 'exporting'],
    ['restarting', view(InitWait, Closed), 'exporting'],
    ['resuming', view(Reconfiguring, Reconfiguring), 'reconfiguring'],
    ['disconnecting', view(Closing, Closing), 'closing'],
    ['disconnecting', view(Connected, Closed), 'shutting'],
    ['disconnecting', absentView(5), 'releasing'],
    ['shutting', view(Closed, Closed), 'closed'],
    ['shutting', view(Closed, Closed, { online: false }), 'releasing'],
    ['failing', view(Closing, Initialised), 'closing'],
    ['releasing', absentView(5), 'released'],
  ])('%s leads on by what it left: %o', (state, left, expected) => {
    const after = follow(
      machine,
      state,
      contextIn(state),
      done(guestMachine, state, { view: left, exported: [sbdf] }),
    );
    expect(after.state).toBe(expected);
  });

  test.each<[Position, GuestView]>([
    ['waiting', view(InitWait, Initialising, { devices: undefined })],
    ['initialised', view(Initialised, Initialising)],
    ['connected', view(Connected, Connected)],
    ['reconfigured', view(Reconfigured, Reconfiguring)],
    ['closing', view(Closing, Closing)],
    ['closed', view(Closed, Closed)],
  ])('adopting goes on from %s', (position, left) => {
    const output = { view: left, exported: [sbdf], position };
    expect(
      follow(machine, 'adopting', contextIn('adopting'), done(guestMachine, 'adopting', output)).state,
    ).toBe(position);
  });
});

describe('what is lost in the middle of an effect', () => {
  test.each([
    ['exporting', view(Initialised, Initialising)],
    ['connecting', view(Connected, Initialised)],
    ['adopting', view(Connected, Connected)],
    ['reconfiguring', view(Reconfigured, Reconfiguring)],
    ['resuming', view(Connected, Connected)],
  ])('a worker, while %s: it is replaced before the guest is served on', (state, left) => {
    const { context } = follow(machine, state, contextIn(state), { type: 'workerDied' });
    const output = { view: left, exported: [sbdf], position: 'connected' };
    expect(follow(machine, state, context, done(guestMachine, state, output)).state).toBe('adopting');
  });

  test.each([
    ['connecting', view(Connected, Initialised)],
    ['adopting', view(Connected, Connected)],
    ['reconfiguring', view(Reconfigured, Reconfiguring)],
    ['resuming', view(Connected, Connected)],
  ])('the page, while %s: the guest is disconnected', (state, left) => {
    const { context } = follow(machine, state, contextIn(state), { type: 'ringLost' });
    const output = { view: left, exported: [sbdf], position: 'connected' };
    expect(follow(machine, state, context, done(guestMachine, state, output)).state).toBe('disconnecting');
  });

  test('is forgotten when another worker takes over', () => {
    const context = contextIn('connected', { workerLost: true, ringLost: true });
    const after = follow(machine, 'connected', context, { type: 'workerDied' });
    expect(after).toMatchObject({ state: 'adopting', context: { workerLost: false, ringLost: false } });
  });
});

describe('when an effect fails', () => {
  const error = new PcibackError('BAD-MAGIC', 'the magic is "6"', 'use another guest');
  const after = (state: string, cause: unknown) =>
    follow(machine, state, contextIn(state), failed(guestMachine, state, cause));

  test.each(working.filter((state) => state !== 'failing' && state !== 'releasing'))(
    '%s fails the guest',
    (state) => {
      expect(after(state, error)).toMatchObject({
        state: 'failing',
        context: { failure: { reason: 'BAD-MAGIC', message: 'the magic is "6"' } },
      });
    },
  );
  test('a guest that cannot even be failed is released', () => {
    expect(after('failing', error).state).toBe('releasing');
    expect(after('releasing', error).state).toBe('released');
  });
  test.each(working)('%s without its worker is taken over by another', (state) => {
    expect(after(state, new PcibackError('WORKER-DIED', 'out of memory', '')).state).toBe('adopting');
  });
});

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
