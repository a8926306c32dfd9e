import { expect, test } from 'vitest';
import type { StandInProcess, Succession } from '../../src/backend/options.ts';
import { StandIns, reignFrom } from '../../src/backend/stand-ins.ts';
import type { BackendEvent } from '../../src/monitor/index.ts';

test('one that cannot be started is told of, and the daemon goes on without', async () => {
  const events: BackendEvent[] = [];
  const launch = (): never => {
    throw new Error('no room left');
  };
  const standIns = new StandIns(launch, reignFrom(0, undefined), (event) => events.push(event));
  standIns.begin();
  expect(events).toMatchObject([{ type: 'warning', reason: 'NO-STAND-IN' }]);
  expect(events[0]?.message).toContain('no room left');
  expect(standIns.pid).toBeNull();
  await standIns.end();
});

/** Processes that are never ready, and end when the test has them end. */
function launcher() {
  const ends: (() => void)[] = [];
  const launch = (): StandInProcess => ({
    pid: 4711,
    ready: new Promise(() => {}),
    ended: new Promise((resolve) => ends.push(() => resolve('it was killed'))),
    end: async () => {},
  });
  return { launch, ends };
}

test('those that end as soon as they were started are not started for ever', async () => {
  const { launch, ends } = launcher();
  const events: BackendEvent[] = [];
  new StandIns(launch, reignFrom(0, undefined), (event) => events.push(event)).begin();
  for (let life = 1; life <= 3; life += 1) {
    expect([ends.length, events]).toEqual([life, []]);
    ends.at(-1)?.();
    await new Promise(setImmediate);
  }
  expect(ends).toHaveLength(3);
  expect(events).toMatchObject([{ type: 'warning', reason: 'NO-STAND-IN' }]);
});

test('daemons that die one after the other, each soon, are followed by no other', () => {
  const { launch, ends } = launcher();
  const events: BackendEvent[] = [];
  const begin = (succession: Succession): number => {
    new StandIns(launch, succession, (event) => events.push(event)).begin();
    return ends.length;
  };
  // One serves from second 100 on; each of the next takes over five seconds after the one before it.
  let succession = reignFrom(100, undefined);
  for (const [reign, now] of [105, 110].entries()) {
    succession = reignFrom(now, succession);
    expect(begin(succession)).toBe(reign + 1);
  }
  succession = reignFrom(115, succession);
  expect(begin(succession)).toBe(2);
  expect(events).toMatchObject([{ type: 'warning', reason: 'CRASH-LOOP' }]);
  // A daemon that has served for long is no part of that.
  expect(begin(reignFrom(125, succession))).toBe(3);
});
