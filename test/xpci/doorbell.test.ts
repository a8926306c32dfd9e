import { expect, test } from 'vitest';
import { Doorbell } from '../../src/xpci/doorbell.ts';

test('any number of rings is one wake-up', async () => {
  const bell = new Doorbell();
  bell.ring();
  bell.ring();
  await bell.wait();
  let isWoken = false;
  void bell.wait().then(() => (isWoken = true));
  await new Promise(setImmediate);
  expect(isWoken).toBe(false);
});

test('a ring while somebody waits wakes him', async () => {
  const bell = new Doorbell();
  const woken = bell.wait();
  bell.ring();
  await woken;
});

test('a wait ends with its time', async () => {
  await new Doorbell().wait(1);
});
