import { expect, test } from 'vitest';
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
