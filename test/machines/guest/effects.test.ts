/** Where an effect leads that is done, that fails, or in the middle of which something is lost. */
import { describe, expect, test } from 'vitest';
import { type GuestEvent, type Position, guestMachine } from '../../../machines/guest.ts';
import { PcibackError } from '../../../src/errors.ts';
import { type GuestView, XenbusState, absentView } from '../../../src/xenbus/index.ts';
import { done, failed, follow, leafStates } from '../pairs.ts';
import { another, contextIn, machine, sbdf, view, working } from './support.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

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

describe("when the kernel's own back-end has the guest", () => {
  const kernels = new PcibackError('KERNEL-BACKEND', 'the kernel serves it', 'nothing');
  const states = leafStates(guestMachine).filter((state) => state !== 'left' && state !== 'released');

  test.each(working)('%s, which is refused, ends the session', (state) => {
    expect(follow(machine, state, contextIn(state), failed(guestMachine, state, kernels)).state).toBe('left');
  });

  test.each(states)('%s ends the session when it is told', (state) => {
    expect(follow(machine, state, contextIn(state), { type: 'handedOver' }).state).toBe('left');
  });
});

const seeing = (now: GuestView): GuestEvent => ({ type: 'observed', view: now });

describe('of what an effect has seen, and what was observed meanwhile,', () => {
  const meanwhile = (observed: GuestView, left: GuestView) => {
    const seen = follow(machine, 'connecting', contextIn('connecting'), seeing(observed));
    return follow(
      machine,
      seen.state,
      seen.context,
      done(guestMachine, 'connecting', { view: left, exported: [another] }),
    );
  };

  test('the observation counts when it is newer: a front-end that is Connected already begins no more', () => {
    const observed = view(Connected, Connected, { serial: 2 });
    const { state, context } = meanwhile(observed, view(Connected, Initialised, { serial: 1 }));
    expect(state).toBe('connected');
    expect(context).toMatchObject({ view: observed, exported: [another] });
    expect(follow(machine, state, context, seeing({ ...observed, serial: 3 })).state).toBe('connected');
  });

  test('the effect counts when it is newer', () => {
    const left = view(Closing, Connected, { serial: 2 });
    const { state, context } = meanwhile(view(Connected, Connected, { serial: 1 }), left);
    expect(state).toBe('disconnecting');
    expect(context.view).toEqual(left);
  });
});

test('an observation is passed over that is older than what is known', () => {
  const known = view(Connected, Connected, { serial: 3 });
  const observe = (serial: number) => {
    const event = seeing(view(Connected, Closing, { serial }));
    return follow(machine, 'connected', contextIn('connected', { view: known }), event);
  };
  expect(observe(2)).toMatchObject({ state: 'connected', context: { view: known } });
  expect(observe(4).state).toBe('disconnecting');
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
