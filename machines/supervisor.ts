/**
 * The life of the daemon: what it must have done before it may say that it is ready, and how it ends. Guests and functions
 * have machines of their own; this one only knows whether they can be looked after at all.
 */
import { assign, fromPromise, setup } from 'xstate';
import { type FunctionFailure, failureOf } from './function.ts';

export interface SupervisorContext {
  /** xenstored does not answer now. */
  readonly severed: boolean;
  readonly failure: FunctionFailure | null;
}

export type SupervisorEvent =
  /** xenstored went away; guests go on being served, but nothing new can be agreed with them. */
  | { readonly type: 'xenstoreLost' }
  | { readonly type: 'xenstoreBack' }
  | { readonly type: 'stop' }
  /** Another daemon is ready to go on with the guests. */
  | { readonly type: 'handOver' };

const unprovided = (name: string) => (): Promise<never> =>
  Promise.reject(new Error(`${name} is not provided`));
const step = (name: string) => fromPromise<void>(unprovided(name));

const supervisor = setup({
  types: { context: {} as SupervisorContext, events: {} as SupervisorEvent },
  actors: {
    /** Checks the environment, starts threads, connects to xenstored: all that a stand-in can have done before it is needed. */
    prepare: step('prepare'),
    /** Has the directory for itself; a stand-in waits here for the death of the daemon that it stands in for. */
    takeTurn: step('takeTurn'),
    /** Reads what an earlier daemon left and takes over the guests that it served. */
    adopt: step('adopt'),
    /** Hides what it was told to hide. */
    hide: step('hide'),
    /** Closes every guest, gives every function back, lets go of the directory. */
    drain: step('drain'),
    /** Lets go of everything as it is: guests that were running wait for a daemon that can serve them. */
    abandon: step('abandon'),
  },
  guards: {
    severed: ({ context }) => context.severed,
    joined: ({ context }) => !context.severed,
  },
  actions: {
    fault: assign((_, { error }: { error: unknown }) => ({ failure: failureOf(error) })),
  },
});

const isOver = { stop: 'draining', handOver: 'leaving' } as const;

/** A step of coming up. A failure leaves the guests of a predecessor as they are. */
const during = (
  src: 'prepare' | 'takeTurn' | 'adopt' | 'hide',
  next: string,
  on: typeof isOver | { readonly stop: 'leaving' },
) =>
  supervisor.createStateConfig({
    invoke: {
      src,
      onDone: next,
      onError: { target: 'failing', actions: { type: 'fault', params: ({ event }) => event } },
    },
    on,
  });

export const supervisorMachine = supervisor.createMachine({
  id: 'supervisor',
  context: { severed: false, failure: null },
  on: {
    xenstoreLost: { actions: assign({ severed: true }) },
    xenstoreBack: { actions: assign({ severed: false }) },
  },
  initial: 'opening',
  states: {
    opening: during('prepare', 'waiting', { stop: 'leaving' }),
    waiting: during('takeTurn', 'adopting', { stop: 'leaving' }),
    adopting: during('adopt', 'hiding', isOver),
    hiding: during('hide', 'ready', isOver),
    ready: {
      description: 'Directories are watched, guests come and go.',
      always: { guard: 'severed', target: 'severed' },
      on: isOver,
    },
    severed: {
      description:
        'xenstored does not answer. Requests are served on; the watches are armed again when it is back.',
      always: { guard: 'joined', target: 'ready' },
      on: isOver,
    },
    failing: {
      description: 'The daemon could not come up.',
      invoke: { src: 'abandon', onDone: 'failed', onError: 'failed' },
    },
    draining: {
      description: 'Guests are being closed and functions given back.',
      invoke: {
        src: 'drain',
        onDone: 'stopped',
        onError: { target: 'failed', actions: { type: 'fault', params: ({ event }) => event } },
      },
    },
    leaving: {
      description:
        'Guests are left as they are: they never were this daemon’s, or another one goes on with them.',
      invoke: {
        src: 'abandon',
        onDone: 'stopped',
        onError: { target: 'failed', actions: { type: 'fault', params: ({ event }) => event } },
      },
    },
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
});
