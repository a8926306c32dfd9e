import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import {
  BackendKeyError,
  readClosingFunctions,
  readFunctions,
  readRoots,
} from '../../src/xpci/backend-keys.ts';

const over = (keys: Readonly<Record<string, string>>) => (key: string) => Promise.resolve(keys[key]);

test('roots are read in their order', async () => {
  const read = over({ root_num: '2', 'root-0': '0000:03', 'root-1': '0001:a0' });
  expect(await readRoots(read)).toEqual([
    { segment: 0, bus: 3 },
    { segment: 1, bus: 0xa0 },
  ]);
});

test('a back-end that publishes no roots has one', async () => {
  expect(await readRoots(over({}))).toEqual([{ segment: 0, bus: 0 }]);
});

test.each<Record<string, string>>([
  { root_num: '-1' },
  { root_num: '0x1' },
  { root_num: '257' },
  { root_num: '1' },
  { root_num: '1', 'root-0': '3' },
])('roots that make no sense are an error: %o', async (keys) => {
  await expect(readRoots(over(keys))).rejects.toThrow(BackendKeyError);
});

test('functions carry both addresses and their state', async () => {
  const read = over({
    num_devs: '3',
    'dev-0': '0000:03:00.0',
    'vdev-0': '0000:00:00.00',
    'state-0': '5',
    'dev-1': 'junk',
    'dev-2': '0000:04:00.1',
    'vdev-2': '0000:00:01.01',
    'state-2': '3',
  });
  expect(await readFunctions(read)).toEqual([
    { host: makeSbdf(0, 3, 0, 0), guest: makeSbdf(0, 0, 0, 0), state: 5 },
    { host: undefined, guest: undefined, state: 0 },
    { host: makeSbdf(0, 4, 0, 1), guest: makeSbdf(0, 0, 1, 1), state: 3 },
  ]);
  expect(await readClosingFunctions(read)).toEqual([makeSbdf(0, 0, 0, 0)]);
});

test('a number of functions that makes no sense is an error', async () => {
  await expect(readFunctions(over({ num_devs: '1e9' }))).rejects.toThrow('num_devs is "1e9"');
  await expect(readFunctions(over({}))).rejects.toThrow(BackendKeyError);
});
