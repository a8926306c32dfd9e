/** Where each state leads in which a guest rests, and that nothing interrupts one that works. */
import { describe, expect, test } from 'vitest';
import { type GuestContext, type GuestEvent, guestMachine } from '../../../machines/guest.ts';
import { type GuestView, XenbusState, absentView } from '../../../src/xenbus/index.ts';
import { follow, leafStates } from '../pairs.ts';
import { contextIn, machine, view, working } from './support.ts';

const { Unknown, Initialising, InitWait, Initialised, Connected, Closing, Closed } = XenbusState;

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
  left: { frontend: {} },
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
