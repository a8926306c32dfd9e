import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { EventOutlet } from '../../src/monitor/event-outlet.ts';
import {
  type EventBudget,
  chargedTo,
  defaultEventBudget,
  tellAfter,
} from '../../src/monitor/event-budget.ts';
import { type BackendEvent, type EventType, makeEvent } from '../../src/monitor/events.ts';

/** An outlet on a clock and timers that stand still until they are told to move. */
class Played implements Disposable {
  readonly told: { readonly event: BackendEvent; readonly at: number }[] = [];
  readonly all: BackendEvent[] = [];
  readonly outlet: EventOutlet;

  constructor(budget?: EventBudget) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    this.outlet = new EventOutlet(budget);
    this.outlet.told$.subscribe((event) => this.told.push({ event, at: performance.now() }));
    this.outlet.all$.subscribe((event) => this.all.push(event));
  }

  guest(domid: number, times = 1, type: EventType = 'request.abandoned'): void {
    for (let each = 0; each < times; each += 1) this.outlet.emit(makeEvent(type, { domid }));
  }

  of(domid: number): readonly { readonly event: BackendEvent; readonly at: number }[] {
    return this.told.filter(({ event }) => event.domid === domid);
  }

  summaries(domid: number): readonly BackendEvent[] {
    return this.of(domid).flatMap(({ event }) => (event.type === 'events.suppressed' ? [event] : []));
  }

  pass(milliseconds: number): void {
    vi.advanceTimersByTime(milliseconds);
  }

  [Symbol.dispose](): void {
    vi.useRealTimers();
  }
}

const suppressedIn = (summaries: readonly BackendEvent[]): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const { data } of summaries)
    for (const [type, times] of Object.entries(data ?? {})) sum[type] = (sum[type] ?? 0) + Number(times);
  return sum;
};

/** The most events in any window that begins with one, as what they exceed `burst + perSecond * t` by. */
function excess(times: readonly number[], { burst, perSecond }: EventBudget): number {
  let worst = -Infinity;
  for (const [first, from] of times.entries()) {
    for (let last = first; last < times.length; last += 1) {
      const seconds = ((times[last] ?? 0) - from) / 1000;
      worst = Math.max(worst, last - first + 1 - (burst + perSecond * seconds));
    }
  }
  return worst;
}

describe('the budget of a guest', () => {
  it('is fifty events at once and five a second unless it is set otherwise', () => {
    expect(defaultEventBudget).toEqual({ burst: 50, perSecond: 5 });
  });

  it('lets fifty events through at once, then five a second', () => {
    using played = new Played();
    played.guest(5, 60);
    expect(played.of(5)).toHaveLength(50);
    played.pass(1000);
    played.guest(5, 60);
    expect(played.of(5)).toHaveLength(55);
  });

  it('tells what was over it in one event, with counts by type', () => {
    using played = new Played();
    played.guest(5, 50);
    played.guest(5, 3, 'guest.adopted');
    played.guest(5, 4, 'warning');
    played.pass(tellAfter - 1);
    expect(played.summaries(5)).toEqual([]);
    played.pass(1);
    expect(played.summaries(5)).toMatchObject([
      { domid: 5, data: { 'guest.adopted': 3, warning: 4 }, message: expect.stringContaining('domain 5') },
    ]);
    played.pass(10 * tellAfter);
    expect(played.summaries(5)).toHaveLength(1);
  });

  it('is each guest’s own', () => {
    using played = new Played();
    played.guest(5, 1000);
    played.guest(6, 50);
    expect(played.of(6)).toHaveLength(50);
  });

  it('holds at any pace: no window has more than fit, and every event is told or counted exactly once', () => {
    const types: readonly EventType[] = ['warning', 'guest.state', 'function.state', 'register.denied'];
    const bursts = fc.array(
      fc.record({
        pause: fc.oneof(fc.nat(50), fc.nat(20_000)),
        times: fc.nat(120),
        type: fc.constantFrom(...types),
      }),
      { maxLength: 40 },
    );
    const budgets = fc.record({
      burst: fc.integer({ min: 1, max: 60 }),
      perSecond: fc.constantFrom(0.5, 5, 7),
    });
    fc.assert(
      fc.property(bursts, budgets, (played$, budget) => {
        using played = new Played(budget);
        const sent: Record<string, number> = {};
        for (const { pause, times, type } of played$) {
          played.pass(pause);
          played.guest(5, times, type);
          sent[type] = (sent[type] ?? 0) + times;
        }
        const before = played.of(5).length;
        played.outlet.complete();
        const times = played.of(5).map(({ at }) => at);
        expect(excess(times.slice(0, before), budget)).toBeLessThanOrEqual(1e-6);
        const counted = suppressedIn(played.summaries(5));
        for (const { event } of played.of(5))
          if (event.type !== 'events.suppressed') counted[event.type] = (counted[event.type] ?? 0) + 1;
        const happened = Object.fromEntries(Object.entries(sent).filter(([, count]) => count > 0));
        expect(counted).toEqual(happened);
      }),
    );
  });

  it('tells of a flood that goes on, again and again, and within the budget', () => {
    using played = new Played();
    for (let tick = 0; tick < 3000; tick += 1) {
      played.guest(5, 4);
      played.pass(10);
    }
    expect(played.summaries(5).length).toBeGreaterThan(3);
    expect(
      excess(
        played.of(5).map(({ at }) => at),
        defaultEventBudget,
      ),
    ).toBeLessThanOrEqual(1e-6);
    played.outlet.complete();
    const told = played.of(5).length - played.summaries(5).length;
    expect(told + (suppressedIn(played.summaries(5))['request.abandoned'] ?? 0)).toBe(12_000);
  });
});

describe('the end of a guest', () => {
  const released = makeEvent('guest.state', { domid: 5, from: 'releasing', to: 'released' });

  it('is told whatever the guest did before, and what was suppressed with the next token', () => {
    using played = new Played();
    played.guest(5, 70);
    played.outlet.emit(released);
    expect(played.of(5).at(-1)?.event).toBe(released);
    played.pass(200);
    expect(played.summaries(5)).toMatchObject([{ data: { 'request.abandoned': 20 } }]);
  });

  it('leaves the budget whole when nothing was suppressed', () => {
    using played = new Played();
    played.guest(5, 10);
    played.outlet.emit(released);
    played.guest(5, 50);
    expect(played.of(5).filter(({ event }) => event !== released)).toHaveLength(50);
  });

  it('leaves nothing behind: of a thousand that flooded us only those of the last seconds are known', () => {
    using played = new Played();
    for (let domid = 1; domid <= 1000; domid += 1) {
      played.guest(domid, 60);
      played.outlet.emit(makeEvent('guest.state', { domid, to: 'released' }));
      played.pass(1000);
    }
    expect(played.outlet.guests).toBeLessThan(20);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
    for (const domid of [1, 500, 999])
      expect(suppressedIn(played.summaries(domid))).toEqual({ 'request.abandoned': 10 });
  });

  it('of the daemon: what was suppressed is told first', () => {
    using played = new Played();
    let completed = false;
    played.outlet.told$.subscribe({ complete: () => (completed = true) });
    played.guest(5, 53);
    played.outlet.complete();
    expect(played.summaries(5)).toMatchObject([{ data: { 'request.abandoned': 3 } }]);
    expect(completed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('what is not up to a guest', () => {
  const domid = 5;

  it.each<[string, BackendEvent]>([
    ['a function that is quarantined', makeEvent('function.state', { domid, to: 'quarantined' })],
    ['a reset for the host that failed', makeEvent('reset.failed', { domid, data: { byGuest: false } })],
    ['a reset for the host', makeEvent('reset.completed', { domid, data: { byGuest: false } })],
    ['the end of the guest', makeEvent('guest.state', { domid, to: 'released' })],
    ['a guest that is left to the kernel', makeEvent('guest.left', { domid })],
    ['a guest that is taken over', makeEvent('guest.takenOver', { domid })],
    ['what concerns no guest', makeEvent('warning')],
  ])('%s is always told', (_, event) => {
    using played = new Played();
    played.guest(domid, 1000);
    for (let each = 0; each < 100; each += 1) played.outlet.emit(event);
    expect(played.told.filter((told) => told.event === event)).toHaveLength(100);
  });

  it.each<[string, BackendEvent]>([
    ['a reset that the guest asked for', makeEvent('reset.completed', { domid, data: { byGuest: true } })],
    ['one that failed', makeEvent('reset.failed', { domid, data: { byGuest: true } })],
    ['a function that is dead until released', makeEvent('function.state', { domid, to: 'connected.dead' })],
    ['a guest that is failed', makeEvent('guest.state', { domid, to: 'failing', reason: 'FRONTEND-KEYS' })],
    ['a worker that dies', makeEvent('worker.died', { domid })],
  ])('but %s is charged to it', (_, event) => {
    expect(chargedTo(event)).toBe(domid);
  });
});

it('every event is heard by whatever counts them', () => {
  using played = new Played();
  played.guest(5, 500);
  expect(played.all).toHaveLength(500);
});
