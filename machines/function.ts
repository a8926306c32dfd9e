/**
 * The life of one PCI function that has been taken from the host's driver.
 *
 * While nobody owns it, a function is a stored snapshot of this machine in state `hidden` or `quarantined`. Binding starts
 * an actor from that snapshot in the worker of the guest; the actor ends when the function has been reset and given back.
 * The machine decides; what `bind` and `reset` do to hardware is provided by whoever runs it.
 */
import { assign, emit, fromPromise, setup } from 'xstate';
import type { Sbdf } from '../src/address.ts';
import { PcibackError, type Reason } from '../src/errors.ts';

export interface FunctionContext {
  readonly sbdf: Sbdf;
  /** The guest that has it. */
  readonly owner: number | null;
  readonly guestAddress: Sbdf | null;
  /** Why the function is quarantined, or why the last binding came to nothing. */
  readonly failure: FunctionFailure | null;
  /** The guest of a quarantined function, which may not have lost all of it. */
  readonly heldBy: number | null;
}

export interface FunctionFailure {
  readonly reason: Reason;
  readonly message: string;
  readonly remedy?: string;
}

/** What a reset is for: the guest that goes on with the function, or the end of its time with it. */
export type ResetInput = FunctionContext & { readonly byGuest: boolean };

export interface ResetOutcome {
  /** The method that was used; null when the function has none and policy let it pass. */
  readonly method: string | null;
  readonly milliseconds: number;
}

export type FunctionEvent =
  /** A guest gets the function, at this address on its bus. */
  | { readonly type: 'bind'; readonly owner: number; readonly guestAddress: Sbdf }
  /** The guest's ring is being served, or no longer. */
  | { readonly type: 'connect' }
  | { readonly type: 'disconnect' }
  /** The guest set the function-level reset bit. */
  | { readonly type: 'flr' }
  /** The guest gives the function up, or has it taken away. */
  | { readonly type: 'release' }
  /** An administrator asks for another attempt at a reset. */
  | { readonly type: 'reset' };

export type FunctionEmitted = {
  readonly type: 'resetDone';
  readonly outcome: ResetOutcome;
  readonly byGuest: boolean;
};

export interface FunctionInput {
  readonly sbdf: Sbdf;
}

/** What an effect failed with, as far as it is worth storing. */
export function failureOf(error: unknown): FunctionFailure {
  if (error instanceof PcibackError) {
    const { reason, message, remedy } = error;
    return { reason, message, remedy };
  }
  return { reason: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

const unprovided = (name: string) => (): Promise<never> =>
  Promise.reject(new Error(`${name} is not provided`));

export const functionMachine = setup({
  types: {
    context: {} as FunctionContext,
    events: {} as FunctionEvent,
    emitted: {} as FunctionEmitted,
    input: {} as FunctionInput,
  },
  actors: {
    /** Takes the function in hand for its new owner: opens it, compiles its filter, starts its record afresh. */
    bind: fromPromise<void, FunctionContext>(unprovided('bind')),
    /** Quiesces, resets, waits, restores and verifies. Rejects when the function is not as it was when it was hidden. */
    reset: fromPromise<ResetOutcome, ResetInput>(unprovided('reset')),
  },
  actions: {
    disown: assign({ owner: null, guestAddress: null }),
    quarantine: assign(({ context }, { error }: { error: unknown }) => ({
      owner: null,
      guestAddress: null,
      failure: failureOf(error),
      heldBy: context.owner ?? context.heldBy,
    })),
  },
  guards: {
    isHalfGiven: (_, { error }: { error: unknown }) => failureOf(error).reason === 'QUARANTINED',
  },
}).createMachine({
  id: 'function',
  context: ({ input }) => ({
    sbdf: input.sbdf,
    owner: null,
    guestAddress: null,
    failure: null,
    heldBy: null,
  }),
  initial: 'hidden',
  states: {
    hidden: {
      description: 'Taken from its host driver; owned by nobody; reset and clean.',
      on: {
        bind: {
          target: 'binding',
          actions: assign(({ event }) => ({
            owner: event.owner,
            guestAddress: event.guestAddress,
            failure: null,
          })),
        },
        reset: 'reset',
      },
    },
    binding: {
      description: 'Being prepared for the guest that will own it.',
      invoke: {
        src: 'bind',
        input: ({ context }) => context,
        onDone: 'bound',
        onError: [
          {
            guard: { type: 'isHalfGiven', params: ({ event }) => event },
            target: 'quarantined',
            actions: { type: 'quarantine', params: ({ event }) => event },
          },
          {
            target: 'hidden',
            actions: ['disown', assign({ failure: ({ event }) => failureOf(event.error) })],
          },
        ],
      },
    },
    bound: {
      description: 'Owned by a guest that does not (or no longer) send requests.',
      on: { connect: 'connected', release: 'reset' },
    },
    connected: {
      description: 'Its guest reads and writes its configuration space.',
      initial: 'serving',
      on: { disconnect: 'bound', release: 'reset' },
      states: {
        serving: { on: { flr: 'flr' } },
        flr: {
          description: 'The guest asked for a function-level reset: reads give all ones until it is done.',
          invoke: {
            src: 'reset',
            input: ({ context }) => ({ ...context, byGuest: true }),
            onDone: {
              target: 'serving',
              actions: emit(({ event }) => ({ type: 'resetDone', outcome: event.output, byGuest: true })),
            },
            onError: {
              target: 'dead',
              actions: assign({ failure: ({ event }) => failureOf(event.error) }),
            },
          },
        },
        dead: { description: 'That reset failed: reads give all ones until the function is released.' },
      },
    },
    reset: {
      description: 'No longer the guest’s: being quiesced, reset, restored and verified.',
      invoke: {
        src: 'reset',
        input: ({ context }) => ({ ...context, byGuest: false }),
        onDone: {
          target: 'hidden',
          actions: [
            'disown',
            assign({ failure: null, heldBy: null }),
            emit(({ event }) => ({ type: 'resetDone', outcome: event.output, byGuest: false })),
          ],
        },
        onError: {
          target: 'quarantined',
          actions: { type: 'quarantine', params: ({ event }) => event },
        },
      },
    },
    quarantined: {
      description:
        'It could not be reset, or its guest may still reach it: exported to nobody until a reset succeeds.',
      on: { reset: 'reset' },
    },
  },
});

/** The states of a function by the names that events, status and the state directory use. */
export type FunctionState =
  | 'hidden'
  | 'binding'
  | 'bound'
  | 'connected'
  | 'connected.flr'
  | 'connected.dead'
  | 'reset'
  | 'quarantined';

/** Whether its guest has it, and may reach it. */
export const isExported = (state: FunctionState): boolean =>
  state === 'bound' || state.startsWith('connected');

/** Names the state of a running or stored function machine. */
export function functionState(value: unknown): FunctionState {
  if (typeof value === 'string') return value as FunctionState;
  const child = (value as { readonly connected: string }).connected;
  return child === 'serving' ? 'connected' : (`connected.${child}` as FunctionState);
}
