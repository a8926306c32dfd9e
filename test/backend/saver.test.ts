import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Saver } from '../../src/backend/saver.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A disk that holds one text a file, and takes none while it is `broken`. */
function begin() {
  const events: BackendEvent[] = [];
  const disk = new Map<string, string>();
  const state = { broken: undefined as string | undefined, attempts: 0 };
  const saver = new Saver((event) => events.push(event));
  const save = (path: string, text: string, urgency?: 'now' | 'soon'): void =>
    saver.save(
      path,
      () => {
        state.attempts++;
        if (state.broken) throw Object.assign(new Error(`${state.broken}: it is`), { code: state.broken });
        disk.set(path, text);
      },
      urgency,
    );
  return { saver, events, disk, state, save };
}

describe('a file that cannot be written', () => {
  test('is told once with path, reason and remedy, and again when all is saved', () => {
    const { saver, events, disk, state, save } = begin();
    state.broken = 'ENOSPC';
    save('/s/a', '1');
    save('/s/b', '1');
    save('/s/a', '2');
    expect(events).toMatchObject([
      {
        type: 'state.notSaved',
        reason: 'STATE-NOT-SAVED',
        message: expect.stringContaining('state not saved: /s/a: ENOSPC: no space left on device') as string,
        remedy: expect.stringContaining('make room') as string,
        data: { path: '/s/a' },
      },
    ]);
    expect(saver.unsaved).toMatchObject({ path: '/s/a', error: 'ENOSPC: no space left on device', files: 2 });
    expect([saver.isSaved('/s/a'), saver.isSaved('/s/c')]).toEqual([false, true]);
    state.broken = undefined;
    vi.advanceTimersByTime(10_000);
    expect([...disk]).toEqual([
      ['/s/a', '2'],
      ['/s/b', '1'],
    ]);
    expect(events.map(({ type }) => type)).toEqual(['state.notSaved', 'state.saved']);
    expect(saver.unsaved).toBe(null);
  });

  test('is tried again ever less often, all of them at once, at least every five seconds', () => {
    const { events, state, save } = begin();
    state.broken = 'EIO';
    save('/s/a', '1');
    save('/s/b', '1');
    const attempts = (milliseconds: number): number => {
      const before = state.attempts;
      vi.advanceTimersByTime(milliseconds);
      return state.attempts - before;
    };
    expect(attempts(100)).toBe(2);
    expect(attempts(200)).toBe(2);
    expect(attempts(60_000)).toBeLessThan(2 * 18);
    expect(attempts(60_000)).toBe(2 * 12);
    expect(events).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(1);
  });

  test('is tried again when another can be written', () => {
    const { saver, disk, state, save } = begin();
    state.broken = 'EROFS';
    save('/s/a', '1');
    vi.advanceTimersByTime(30_000);
    state.broken = undefined;
    save('/s/b', '1');
    expect([...disk.keys()]).toEqual(['/s/b', '/s/a']);
    expect(saver.unsaved).toBe(null);
  });

  test('is told again when it begins anew, and retried as soon as the first time', () => {
    const { events, state, save } = begin();
    for (const _ of [1, 2]) {
      state.broken = 'ENOSPC';
      save('/s/a', '1');
      vi.advanceTimersByTime(30_000);
      state.broken = undefined;
      save('/s/a', '2');
    }
    expect(events.map(({ type }) => type)).toEqual([
      'state.notSaved',
      'state.saved',
      'state.notSaved',
      'state.saved',
    ]);
    state.broken = 'ENOSPC';
    save('/s/a', '3');
    state.broken = undefined;
    vi.advanceTimersByTime(100);
    expect(events).toHaveLength(6);
  });

  test('is tried once more at the end', () => {
    const { saver, disk, state, save } = begin();
    state.broken = 'ENOSPC';
    save('/s/a', '1');
    state.broken = undefined;
    saver.close();
    expect(disk.get('/s/a')).toBe('1');
    expect(vi.getTimerCount()).toBe(0);
    save('/s/a', '2', 'soon');
    expect(disk.get('/s/a')).toBe('2');
  });
});

describe('a file that changes all the time', () => {
  test('is written at once at first, then a few times a second, and the last change within half a second', () => {
    const { disk, state, save } = begin();
    for (let change = 1; change <= 1000; change++) {
      save('/s/a', String(change), 'soon');
      if (change === 1) expect(disk.get('/s/a')).toBe('1');
      vi.advanceTimersByTime(2);
    }
    expect(state.attempts).toBeLessThanOrEqual(4 + 2 * 2);
    vi.advanceTimersByTime(500);
    expect(disk.get('/s/a')).toBe('1000');
    vi.advanceTimersByTime(60_000);
    expect(state.attempts).toBeLessThanOrEqual(4 + 2 * 2 + 1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('delays no other, and no change that has to be there now', () => {
    const { disk, save } = begin();
    for (let change = 1; change <= 10; change++) save('/s/a', String(change), 'soon');
    expect(disk.get('/s/a')).toBe('4');
    save('/s/b', '1', 'soon');
    expect(disk.get('/s/b')).toBe('1');
    save('/s/a', 'now');
    expect(disk.get('/s/a')).toBe('now');
    vi.advanceTimersByTime(10_000);
    expect(disk.get('/s/a')).toBe('now');
  });

  test('has its last change written although another one’s turn comes first', () => {
    const { disk, save } = begin();
    const exhaust = (path: string): void => {
      for (let change = 1; change <= 10; change++) save(path, String(change), 'soon');
    };
    exhaust('/s/a');
    vi.advanceTimersByTime(400);
    exhaust('/s/b');
    expect([disk.get('/s/a'), disk.get('/s/b')]).toEqual(['4', '4']);
    vi.advanceTimersByTime(1000);
    expect([disk.get('/s/a'), disk.get('/s/b')]).toEqual(['10', '10']);
  });

  test('is not tried more often because it cannot be written', () => {
    const { state, save } = begin();
    state.broken = 'ENOSPC';
    for (let change = 1; change <= 1000; change++) {
      save('/s/a', String(change), 'soon');
      vi.advanceTimersByTime(1);
    }
    expect(state.attempts).toBeLessThan(20);
  });
});
