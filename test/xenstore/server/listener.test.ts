import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Listener } from '../../../src/xenstore/server/listener.ts';
import { Turns } from '../../../src/xenstore/server/turns.ts';
import { StoreSetting } from './store-setting.ts';

/** Somebody listens for connections of a domain, by a clock that stands still. */
function listen(domid: number) {
  const directory = mkdtempSync(join(tmpdir(), 'xs-'));
  const path = join(directory, 'socket');
  const setting = new StoreSetting();
  setting.connect(domid);
  const clock = { now: 0 };
  const listener = new Listener(
    path,
    () => setting.store.connect(domid),
    new Turns(),
    domid !== 0,
    () => clock.now,
  );
  onTestFinished(() => {
    listener.close();
    rmSync(directory, { recursive: true, force: true });
  });
  /** Connects and hangs up; false when nobody listens. */
  const attempt = async (): Promise<boolean> => {
    const connection = connect(path);
    const isConnected = await once(connection, 'connect').then(
      () => true,
      () => false,
    );
    connection.on('error', () => {});
    connection.destroy();
    return isConnected;
  };
  return { clock, attempt };
}

test('a guest that connects again and again is turned away, until it has rested', async () => {
  const { clock, attempt } = listen(5);
  let connected = 0;
  while (await attempt()) connected += 1;
  expect(connected).toBeGreaterThanOrEqual(64);
  clock.now += 60_000;
  await expect.poll(attempt).toBe(true);
});

test('domain 0 connects as often as it likes', async () => {
  const { attempt } = listen(0);
  for (let each = 0; each < 200; each += 1) expect(await attempt()).toBe(true);
});
