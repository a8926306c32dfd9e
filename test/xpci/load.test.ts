import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { GuestBus, Load, Requester } from '../../src/xpci/index.ts';
import { FakeHost, networkAdapter } from './fake-host.ts';

function scanned() {
  const host = new FakeHost().add(0, 0, networkAdapter());
  const bus = new GuestBus(new Requester(host));
  bus.scan([{ segment: 0, bus: 0 }]);
  return { host, bus };
}

test('every answer of an honest back-end is right', async () => {
  const { bus } = scanned();
  const load = new Load(bus);
  const report = await load.run(3_600, () => load.report().requests < 100);
  expect(report).toMatchObject({ lost: 0, wrong: 0, examples: [] });
  expect(report.requests).toBeGreaterThanOrEqual(100);
});

test('it goes on until its time is over', async () => {
  expect((await new Load(scanned().bus).run(0.05)).seconds).toBeGreaterThanOrEqual(0.05);
});

test('it ends when it is no longer wanted', async () => {
  const { bus } = scanned();
  let turns = 3;
  const report = await new Load(bus).run(3_600, () => (turns -= 1) > 0);
  expect(report.seconds).toBeLessThan(60);
});

test('a bus without functions is no load', async () => {
  const { bus } = scanned();
  bus.remove(makeSbdf(0, 0, 0, 0));
  expect(await new Load(bus).run(3_600)).toMatchObject({ requests: 0, wrong: 0 });
});

test('a BAR that forgets its sizing is noticed', async () => {
  const { host, bus } = scanned();
  const load = new Load(bus);
  host.functions.get(makeSbdf(0, 0, 0, 0))?.write(0x10, 4, 0);
  const forgetful = host.functions.get(makeSbdf(0, 0, 0, 0));
  if (!forgetful) throw new Error('the function is gone');
  forgetful.write = () => {};
  const report = await load.run(3_600, () => load.report().wrong < 5);
  expect(report.wrong).toBeGreaterThan(0);
  expect(report.examples).toHaveLength(5);
  expect(report.examples).toContain('0x10/4: 0x0, not 0xfffe0000');
});

test('a request that is lost is not counted as wrong', async () => {
  const { host, bus } = scanned();
  host.silent = true;
  const load = new Load(bus);
  const report = await load.run(3_600, () => load.report().requests === 0);
  expect(report.requests).toBeGreaterThan(0);
  expect(report.lost).toBe(report.requests);
  expect(report.wrong).toBe(0);
});
