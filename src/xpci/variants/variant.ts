/**
 * Front-ends differ in how they shake hands, in how they reach registers and in what they do when the back-end changes its
 * state. What differs is data: one table of reactions for each of them.
 */
import { XenbusState } from '../../xenbus/state.ts';
import type { AccessWidth } from '../config.ts';

/**
 * What a front-end can do about its bus:
 * - `connect`: find all functions;
 * - `dropClosing`: forget the functions whose `state-N` is Closing;
 * - `rescan`: find functions that are new;
 * - `disconnect`: forget all functions, give up page and event channel;
 * - `restart`: close by its own steps and begin again;
 * - `panic`: nothing, ever again.
 */
export type Step = 'connect' | 'dropClosing' | 'rescan' | 'disconnect' | 'restart' | 'panic';

export interface Reaction {
  readonly backend: XenbusState;
  /** The front-end's own states in which it reacts. */
  readonly own: readonly XenbusState[];
  readonly steps: readonly Step[];
  /** The state that it writes afterwards. */
  readonly goesTo?: XenbusState;
}

/** One step of an orderly close: write a state, wait until the back-end's state is in the range. */
export interface ClosingStep {
  readonly write: XenbusState;
  readonly until: { readonly atLeast: XenbusState; readonly atMost: XenbusState };
}

export interface FrontendVariant {
  readonly name: 'linux' | 'netbsd' | 'minios';
  /** Flags that it sets in the page before it grants it. */
  readonly pageFlags: number;
  readonly width: AccessWidth;
  /** Milliseconds after which it withdraws a request; Infinity when it waits for ever. */
  readonly answerTimeout: number;
  /** Whether Initialised is written in the transaction that publishes the keys, or after it. */
  readonly stateWithKeys: boolean;
  /** The states, its own and the back-end's, in which it begins a handshake. */
  readonly begins: { readonly own: readonly XenbusState[]; readonly backend: readonly XenbusState[] };
  /** How it finds functions: by probing every address, or from the `dev-N` and `vdev-N` keys. */
  readonly discovery: 'probe' | 'listed';
  readonly reactions: readonly Reaction[];
  readonly closing: readonly ClosingStep[];
  /** Keys of its own that it removes after a close. */
  readonly removesOnClose: readonly string[];
}

export const anyState: readonly XenbusState[] = Object.values(XenbusState);
