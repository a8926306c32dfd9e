import { describe, expect, test } from 'vitest';
import { guestMachine } from '../../machines/guest.ts';
import { WaitClock, isStalled, waitOf } from '../../src/backend/waits.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { contextIn, listed, view } from '../machines/guest/support.ts';

const { Unknown, Initialising, Initialised, Connected, Closing, Reconfiguring, Reconfigured } = XenbusState;

const wait = (state: string, ...seen: Parameters<typeof view>): string | null =>
  waitOf(state, contextIn(state, { view: view(...seen) }))?.for ?? null;

describe('what the next step of a guest depends on', () => {
  test.each([
    ['both ends are connected', Connected, Connected, null],
    ['it has not scanned its bus yet', Connected, Initialised, 'the front-end, to scan its bus'],
    ['it follows no change', Reconfiguring, Connected, 'the front-end, to follow the change'],
    [
      'it has never connected, and follows none',
      Reconfiguring,
      Initialised,
      'the front-end, to follow the change',
    ],
    ['both ends are at the change', Reconfiguring, Reconfiguring, null],
    ['it has not come back from a change', Connected, Reconfigured, 'the front-end, to scan its bus'],
  ])('of one that is served, when %s', (_, own, front, expected) => {
    expect(wait('connected', own, front)).toBe(expected);
  });

  test.each([Initialising, Closing])(
    'is the toolstack when it lists a change (%i) without asking for it',
    (state) => {
      const context = contextIn('connected', {
        view: view(Connected, Connected, { devices: [listed(state)] }),
        exported: [listed(state).sbdf].flatMap((sbdf) => sbdf ?? []),
      });
      expect(waitOf('connected', context)?.for).toBe('the toolstack, to ask for the change');
    },
  );

  test('is told in every state of the machine but those in which there is none', () => {
    const silent = Object.keys(guestMachine.config.states ?? {}).filter(
      (state) => waitOf(state, contextIn(state, { view: view(Connected, Connected) })) === null,
    );
    expect(silent).toEqual(['connected', 'released', 'left']);
  });

  test('is the front-end of a PV guest, and nobody for an HVM guest unless a front-end comes after all', () => {
    const comesUp = 'the front-end, to come up';
    for (const front of [Unknown, Initialising]) {
      expect(wait('initialised', Initialised, front)).toBe(comesUp);
      expect(wait('initialised', Initialised, front, { isHvm: true })).toBe(null);
    }
    expect(wait('connected', Connected, Initialised, { isHvm: true })).toBe('the front-end, to scan its bus');
    expect(wait('closing', Closing, Closing, { isHvm: true })).toBe('the front-end, to close');
  });
});

describe('since when', () => {
  const clock = (() => {
    let now = 0;
    return { pass: (milliseconds: number) => (now += milliseconds), now: () => now };
  })();
  const turn = (text: string) => ({ for: text, kind: 'turn' }) as const;

  test('does not begin anew while it is the same that is waited for', () => {
    const waits = new WaitClock(clock.now);
    waits.note(turn('the front-end, to close'));
    clock.pass(4_000);
    waits.note(turn('the front-end, to close'));
    expect(waits.pending).toMatchObject({ for: 'the front-end, to close', milliseconds: 4_000 });
    waits.note(turn('the front-end, to come up'));
    expect(waits.pending).toMatchObject({ milliseconds: 0 });
    waits.note(null);
    expect(waits.pending).toBe(null);
  });

  test('a guest is stalled after ten seconds, unless it may rest', () => {
    for (const [kind, stalls] of [
      ['turn', true],
      ['own', true],
      ['rest', false],
    ] as const) {
      const waits = new WaitClock(clock.now);
      waits.note({ for: 'it', kind });
      clock.pass(10_000);
      expect(isStalled(waits.pending)).toBe(false);
      clock.pass(1);
      expect(isStalled(waits.pending)).toBe(stalls);
    }
    expect(isStalled(null)).toBe(false);
  });

  test('work of the back-end is told when it takes longer than it should', () => {
    const waits = new WaitClock(clock.now);
    waits.note({ for: 'the back-end, to reset', kind: 'own' });
    expect(waits.pending).toBe(null);
    clock.pass(1_000);
    expect(waits.pending).toMatchObject({ for: 'the back-end, to reset', milliseconds: 1_000 });
  });
});
