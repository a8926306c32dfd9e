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
  { readonly type: 'xenstoreLost' } | { readonly type: 'xenstoreBack' } | { readonly type: 'stop' };

const unprovided = (name: string) => (): Promise<never> =>
  Promise.reject(new Error(`${name} is not provided`));
const step = (name: string) => fromPromise<void>(unprovided(name));

const supervisor = setup({
  types: { context: {} as SupervisorContext, events: {} as SupervisorEvent },
  actors: {
    /** Checks the environment, takes the directory for itself, connects to xenstored. */
    open: step('open'),
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

type Step = 'open' | 'adopt' | 'hide';

/** A step of coming up. A stop in between is an orderly one; a failure leaves the guests of a predecessor as they are. */
const during = (src: Step, next: string) =>
  supervisor.createStateConfig({
    invoke: {
      src,
      onDone: next,
      onError: { target: 'failing', actions: { type: 'fault', params: ({ event }) => event } },
    },
    on: { stop: 'draining' },
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
    opening: during('open', 'adopting'),
    adopting: during('adopt', 'hiding'),
    hiding: during('hide', 'ready'),
    ready: {
      description: 'Directories are watched, guests come and go.',
      always: { guard: 'severed', target: 'severed' },
      on: { stop: 'draining' },
    },
    severed: {
      description:
        'xenstored does not answer. Requests are served on; the watches are armed again when it is back.',
      always: { guard: 'joined', target: 'ready' },
      on: { stop: 'draining' },
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
    stopped: { type: 'final' },
    failed: { type: 'final' },
  },
});
