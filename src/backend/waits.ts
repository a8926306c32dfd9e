/** What the next step of a guest depends on, and since when: judged here for status and metrics alike. */
import { type GuestContext, pendingDevices } from '../../machines/guest.ts';
import { type GuestView, XenbusState } from '../xenbus/index.ts';

const { Unknown, Initialising, Connected, Reconfiguring } = XenbusState;

export interface Wait {
  /** The side that has to move, and what it has to do. */
  readonly for: string;
  /** `own`: the back-end is at work. `rest`: it may take as long as anybody likes. `turn`: another side has to move. */
  readonly kind: 'own' | 'rest' | 'turn';
}

export interface PendingWait extends Wait {
  /** How long that has been so. */
  readonly milliseconds: number;
}

/** Milliseconds after which the work of the back-end is something that a guest waits for. */
const shortWork = 1000;

/** Milliseconds after which the other side should have moved. */
export const stalledAfter = 10_000;

const own = (what: string): Wait => ({ for: `the back-end, to ${what}`, kind: 'own' });
const turn = (whom: string): Wait => ({ for: whom, kind: 'turn' });

/** States of the guest's machine in which the next step is one side's, whatever the directories say. */
const waits: Readonly<Record<string, Wait>> = {
  seen: turn('the toolstack, to finish the back-end directory'),
  announcing: own('announce itself'),
  waiting: turn('the toolstack, to list the functions'),
  exporting: own('export the functions'),
  initialised: turn('the front-end, to come up'),
  adopting: own('take the guest over'),
  connecting: own('map the page and bind the event channel'),
  reconfiguring: own('carry the change out'),
  reconfigured: turn('the front-end, to scan its bus again'),
  resuming: own('connect again'),
  restarting: own('take the ring down for a front-end that starts over'),
  disconnecting: own('take the ring down'),
  closing: turn('the front-end, to close'),
  shutting: own('say that it is closed'),
  closed: {
    for: 'the toolstack, to take the device away, or the front-end, to start over',
    kind: 'rest',
  },
  failing: own('give the guest up'),
  releasing: own('reset the functions and give them back'),
};

/** A connected guest rests when both ends say so and no change is asked for. */
function waitOfConnected(context: GuestContext): Wait | null {
  const { state, frontendState } = context.view;
  if (state === Reconfiguring)
    return frontendState === Reconfiguring ? null : turn('the front-end, to follow the change');
  if (frontendState !== Connected) return turn('the front-end, to scan its bus');
  return pendingDevices(context) ? turn('the toolstack, to ask for the change') : null;
}

/** An HVM guest works with its functions through its device model, as long as no front-end comes up after all. */
export const isReachedByDeviceModel = ({ isHvm, frontendState }: GuestView): boolean =>
  isHvm && (frontendState === Unknown || frontendState === Initialising);

export const reachedByDeviceModel = 'its device model reaches the functions; no front-end will come';

/** Null when nothing is outstanding. */
export function waitOf(state: string, context: GuestContext): Wait | null {
  if (state === 'connected') return waitOfConnected(context);
  if (state === 'initialised' && isReachedByDeviceModel(context.view)) return null;
  return waits[state] ?? null;
}

export const isStalled = (wait: PendingWait | null): boolean =>
  wait !== null && wait.kind !== 'rest' && wait.milliseconds > stalledAfter;

/** Since when a guest has been waiting for the same. */
export class WaitClock {
  readonly #now: () => number;
  #wait: Wait | null = null;
  #since = 0;

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** To be called with every change. */
  note(wait: Wait | null): void {
    if (wait?.for === this.#wait?.for) return;
    this.#wait = wait;
    this.#since = this.#now();
  }

  /** Null when nothing is outstanding, or only work of the back-end that has just begun. */
  get pending(): PendingWait | null {
    const milliseconds = this.#now() - this.#since;
    if (!this.#wait || (this.#wait.kind === 'own' && milliseconds < shortWork)) return null;
    return { ...this.#wait, milliseconds };
  }
}
