import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import {
  readMsi,
  readMsix,
  walkCapabilities,
  walkExtendedCapabilities,
} from '../../src/xpci/capabilities.ts';
import { ConfigSpace } from '../../src/xpci/config.ts';
import { Requester } from '../../src/xpci/requests.ts';
import { FakeFunction, FakeHost, networkAdapter, words } from './fake-host.ts';

function configOf(fn: FakeFunction) {
  const host = new FakeHost().add(0, 0, fn);
  return { host, config: new ConfigSpace(new Requester(host), makeSbdf(0, 0, 0, 0)) };
}

test('both lists are walked in their own order', () => {
  const { config } = configOf(networkAdapter());
  expect(walkCapabilities(config).map(({ id, offset }) => [id, offset])).toEqual([
    [0x01, 0xc8],
    [0x05, 0xd0],
    [0x10, 0xe0],
    [0x11, 0xa0],
    [0x03, 0xb0],
  ]);
  expect(walkExtendedCapabilities(config)).toEqual([
    { id: 0x0001, offset: 0x100, extended: true, version: 1 },
    { id: 0x0003, offset: 0x140, extended: true, version: 1 },
  ]);
});

test('without the status bit there is no list, wherever the pointer points', () => {
  const { config } = configOf(new FakeFunction({ 0x34: [0x40], 0x40: [0x01, 0x00] }));
  expect(walkCapabilities(config)).toEqual([]);
});

test('a list that bites its own tail ends', () => {
  const { config } = configOf(
    new FakeFunction({
      0x06: [0x10],
      0x34: [0x40],
      0x40: [0x09, 0x50],
      0x50: [0x09, 0x40],
      0x100: words(0x1001_000b),
    }),
  );
  expect(walkCapabilities(config).map(({ offset }) => offset)).toEqual([0x40, 0x50]);
  expect(walkExtendedCapabilities(config).map(({ offset }) => offset)).toEqual([0x100]);
});

test('a pointer into the header ends the list', () => {
  const { config } = configOf(
    new FakeFunction({ 0x06: [0x10], 0x34: [0x40], 0x40: [0x01, 0x3c], 0x100: words(0x0fc1_0001) }),
  );
  expect(walkCapabilities(config)).toHaveLength(1);
  expect(walkExtendedCapabilities(config)).toHaveLength(1);
});

test('whatever the space holds, a walk ends, stays inside and visits nothing twice', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096, size: 'max' }), (bytes) => {
      bytes[6] = 0x10;
      const { host, config } = configOf(new FakeFunction({ 0: [...bytes] }));
      const standard = walkCapabilities(config).map(({ offset }) => offset);
      const extended = walkExtendedCapabilities(config).map(({ offset }) => offset);
      expect(new Set(standard).size).toBe(standard.length);
      expect(new Set(extended).size).toBe(extended.length);
      expect(standard.every((offset) => offset >= 0x40 && offset < 0x100)).toBe(true);
      expect(extended.every((offset) => offset >= 0x100 && offset < 0x1000)).toBe(true);
      expect(host.log.every(({ offset, size }) => offset >= 0 && offset + size <= 4096)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('the message-signalled interrupt capabilities say how many vectors there are and where', () => {
  const { config } = configOf(networkAdapter());
  const list = walkCapabilities(config);
  expect(readMsi(config, list)).toEqual({ offset: 0xd0, vectors: 1, wide: true, maskable: true });
  expect(readMsix(config, list)).toEqual({
    offset: 0xa0,
    entries: 5,
    table: { bar: 3, offset: 0 },
    pending: { bar: 3, offset: 0x2000 },
  });
  expect(readMsi(config, [])).toBeNull();
  expect(readMsix(config, [])).toBeNull();
});
