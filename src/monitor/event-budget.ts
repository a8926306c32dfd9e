/**
 * How much a guest can make the back-end tell (XSA-43): a token bucket a guest. An event that finds no token is counted, and the counts
 * are told in one event from time to time, which takes a token like any other.
 */
import { type BackendEvent, type EventType, makeEvent } from './events.ts';

export interface EventBudget {
  /** Events of one guest that may follow one another at once. */
  readonly burst: number;
  /** Events a second of one guest in the long run. */
  readonly perSecond: number;
}

export const defaultEventBudget: EventBudget = { burst: 50, perSecond: 5 };

/** Milliseconds between the first event that is not told and the event that tells of it and of those after it. */
export const tellAfter = 5000;

const never = (): boolean => false;
const always = (): boolean => true;

/**
 * Whether a guest can bring an event of this type about as often as it likes. Events that take an administrator, a toolstack or the end
 * of the guest are never suppressed: how often they happen is not up to the guest, and some of them nobody must miss.
 */
const upToGuest: Readonly<Record<EventType, (event: BackendEvent) => boolean>> = {
  'backend.state': never,
  'backend.ready': never,
  'backend.standIn': never,
  'function.hidden': never,
  'function.unhidden': never,
  'function.taken': never,
  'function.moved': never,
  'function.quirk': never,
  // Out of quarantine a function comes by an administrator's reset only, and no guest has it before.
  'function.state': ({ to }) => to !== 'quarantined',
  // A session ends once, and another one takes a directory that the toolstack has made anew.
  'guest.state': ({ to }) => to !== 'released',
  'guest.adopted': always,
  'guest.takenOver': never,
  'guest.left': never,
  'request.abandoned': always,
  'register.denied': always,
  'vector.refused': always,
  // A function is reset for the host when a toolstack takes it back, or its guest ends.
  'reset.completed': ({ data }) => data?.['byGuest'] !== false,
  'reset.failed': ({ data }) => data?.['byGuest'] !== false,
  'attach.failed': always,
  'event.storm': always,
  'events.suppressed': never,
  'worker.died': always,
  'xenstored.started': never,
  'metrics.started': never,
  'watch.started': never,
  'state.notSaved': never,
  'state.saved': never,
  warning: always,
};

/** The guest whose budget an event is charged to; undefined for an event that is always told. */
export const chargedTo = (event: BackendEvent): number | undefined =>
  upToGuest[event.type](event) ? event.domid : undefined;

/** The budget of one guest. Times are milliseconds of a clock that never goes back. */
export class GuestBudget {
  readonly #domid: number;
  readonly #budget: EventBudget;
  #tokens: number;
  #at: number;
  readonly #suppressed = new Map<EventType, number>();
  #tellAt = Infinity;

  constructor(domid: number, budget: EventBudget, now: number) {
    this.#domid = domid;
    this.#budget = budget;
    this.#tokens = budget.burst;
    this.#at = now;
  }

  /** Whether the event is told; one that is not is counted. An overdue `summary` goes first. */
  admits({ type }: BackendEvent, now: number): boolean {
    this.#refill(now);
    if (now < this.#tellAt && this.#tokens >= 1) {
      this.#tokens -= 1;
      return true;
    }
    if (this.#suppressed.size === 0) this.#tellAt = now + tellAfter;
    this.#suppressed.set(type, (this.#suppressed.get(type) ?? 0) + 1);
    return false;
  }

  /** When `summary` has something to tell: Infinity while nothing is suppressed. */
  get summaryAt(): number {
    if (this.#suppressed.size === 0) return Infinity;
    const missing = Math.max(1 - this.#tokens, 0);
    return Math.max(this.#tellAt, this.#at + (1000 * missing) / this.#budget.perSecond);
  }

  /** What was suppressed is told as soon as there is a token. */
  hurry(now: number): void {
    if (this.#suppressed.size > 0) this.#tellAt = Math.min(this.#tellAt, now);
  }

  /** Takes what is to be told of suppressed events by now; undefined when that is nothing. */
  summary(now: number): BackendEvent | undefined {
    this.#refill(now);
    if (now < this.summaryAt) return undefined;
    this.#tokens -= 1;
    return this.remainder();
  }

  /** The same whatever there is left to spend: nothing comes after it. */
  remainder(): BackendEvent | undefined {
    if (this.#suppressed.size === 0) return undefined;
    const { burst, perSecond } = this.#budget;
    const data = Object.fromEntries(this.#suppressed);
    this.#suppressed.clear();
    this.#tellAt = Infinity;
    return makeEvent('events.suppressed', {
      domid: this.#domid,
      message: `domain ${this.#domid} brings about more events than ${burst} at once and then ${perSecond} a second: these were only counted`,
      data,
    });
  }

  /** Nothing is known of the guest that would not hold for any other. */
  isUntouched(now: number): boolean {
    this.#refill(now);
    return this.#suppressed.size === 0 && this.#tokens >= this.#budget.burst;
  }

  #refill(now: number): void {
    const { burst, perSecond } = this.#budget;
    const passed = Math.max(now - this.#at, 0);
    this.#tokens = Math.min(this.#tokens + (passed * perSecond) / 1000, burst);
    this.#at = Math.max(now, this.#at);
  }
}
