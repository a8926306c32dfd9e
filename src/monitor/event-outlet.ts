/** The one place where events leave the back-end. What all guests bring about passes the budget of each here. */
import { type Observable, Subject } from 'rxjs';
import { type EventBudget, GuestBudget, chargedTo, defaultEventBudget } from './event-budget.ts';
import type { BackendEvent } from './events.ts';

export class EventOutlet {
  readonly #budget: EventBudget;
  readonly #now: () => number;
  readonly #all = new Subject<BackendEvent>();
  readonly #told = new Subject<BackendEvent>();
  readonly #guests = new Map<number, GuestBudget>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(budget: EventBudget = defaultEventBudget, now: () => number = () => performance.now()) {
    this.#budget = budget;
    this.#now = now;
  }

  /** Every event, for whatever counts them. */
  get all$(): Observable<BackendEvent> {
    return this.#all.asObservable();
  }

  /** The events to be told: a guest adds no more to them than its budget. */
  get told$(): Observable<BackendEvent> {
    return this.#told.asObservable();
  }

  /** Guests of which something is kept. */
  get guests(): number {
    return this.#guests.size;
  }

  emit(event: BackendEvent): void {
    this.#all.next(event);
    const domid = chargedTo(event);
    if (domid === undefined) this.#told.next(event);
    else this.#charge(this.#guestOf(domid), event);
    if (event.type === 'guest.state' && event.to === 'released') this.#hurry(event.domid);
  }

  /** Tells what was suppressed so far, and completes. */
  complete(): void {
    clearTimeout(this.#timer);
    for (const guest of this.#guests.values()) this.#tell(guest.remainder());
    this.#guests.clear();
    this.#all.complete();
    this.#told.complete();
  }

  #charge(guest: GuestBudget, event: BackendEvent): void {
    const now = this.#now();
    this.#tell(guest.summary(now));
    if (guest.admits(event, now)) this.#told.next(event);
    this.#wakeFor(guest);
  }

  /** A guest that has ended brings nothing about any more: what it is told of comes now rather than later. */
  #hurry(domid: number | undefined): void {
    const guest = domid === undefined ? undefined : this.#guests.get(domid);
    if (!guest) return;
    const now = this.#now();
    guest.hurry(now);
    this.#tell(guest.summary(now));
    this.#wakeFor(guest);
  }

  #guestOf(domid: number): GuestBudget {
    const known = this.#guests.get(domid);
    if (known) return known;
    const now = this.#now();
    // A budget that is full again says nothing, so memory is bounded by the guests of the last few seconds.
    for (const [other, guest] of this.#guests) if (guest.isUntouched(now)) this.#guests.delete(other);
    const guest = new GuestBudget(domid, this.#budget, now);
    this.#guests.set(domid, guest);
    return guest;
  }

  #tell(event: BackendEvent | undefined): void {
    if (!event) return;
    this.#all.next(event);
    this.#told.next(event);
  }

  #wakeFor({ summaryAt }: GuestBudget): void {
    if (summaryAt >= this.#timerAt) return;
    this.#timerAt = summaryAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wake(), Math.ceil(summaryAt - this.#now())).unref();
  }

  #wake(): void {
    this.#timerAt = Infinity;
    const now = this.#now();
    for (const guest of this.#guests.values()) {
      this.#tell(guest.summary(now));
      this.#wakeFor(guest);
    }
  }
}
