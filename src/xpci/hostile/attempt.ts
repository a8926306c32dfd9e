/** What a hostile guest tries, as data: what is sent, and how to tell whether the back-end held. */
import type { GuestBus } from '../bus.ts';
import type { GuestFunction } from '../enumerate.ts';
import type { RawRequest } from '../requests.ts';
import type { RawPage } from './raw-page.ts';

/**
 * - `refused`: answered with an error;
 * - `ignored`: answered with success, and nothing has changed;
 * - `shadowed`: the guest sees its own copy of what it wrote, the hardware keeps its own;
 * - `contained`: something happened, within its bounds, and honest requests are served as before;
 * - `breached`: the back-end did what it must never do;
 * - `absent`: the function has nothing that this could be tried on.
 */
export type Verdict = 'refused' | 'ignored' | 'shadowed' | 'contained' | 'breached' | 'absent';

export interface AttemptResult {
  readonly name: string;
  /** What was sent, for people. */
  readonly request: string;
  /** What came back, for people. */
  readonly answer: string;
  readonly verdict: Verdict;
}

interface AttemptBase {
  /** Short and stable: `relocate-bar`. */
  readonly name: string;
  /** What the guest is after. */
  readonly aim: string;
}

/** A write to a register, which must afterwards read as before. */
export interface WriteAttempt extends AttemptBase {
  readonly kind: 'write';
  /** Offset of the register; undefined when the function does not have it. */
  readonly at: (fn: GuestFunction) => number | undefined;
  readonly size: 1 | 2 | 4;
  readonly value: (before: number) => number;
  /** The bits that must not change; all by default. */
  readonly keeps?: number;
  /** The back-end shows the guest its own value and leaves the hardware alone: what is read proves nothing. */
  readonly shadowed?: boolean;
}

/** A request that must be answered with this error, whatever the function. */
export interface RequestAttempt extends AttemptBase {
  readonly kind: 'request';
  readonly request: (fn: GuestFunction, bus: GuestBus) => RawRequest;
  readonly err: number;
}

/** Something that takes more than one request, or goes around them. */
export interface DeedAttempt extends AttemptBase {
  readonly kind: 'deed';
  readonly run: (context: HostileContext) => Promise<Omit<AttemptResult, 'name'>>;
}

export type Attempt = WriteAttempt | RequestAttempt | DeedAttempt;

export interface HostileContext {
  readonly bus: GuestBus;
  readonly fn: GuestFunction;
  /** Null where the guest cannot get behind its own request channel. */
  readonly page: RawPage | null;
}

/** What a deed reports when the function has nothing to try it on. */
export const absent = (request: string): Omit<AttemptResult, 'name'> => ({
  request,
  answer: 'the function has no such thing',
  verdict: 'absent',
});
