import { expect, test } from 'vitest';
import { formatSbdf, makeSbdf } from '../../src/address.ts';
import { parseRoot, scanBuses } from '../../src/xpci/scan.ts';
import { ConfigSpace } from '../../src/xpci/config.ts';
import { Requester } from '../../src/xpci/requests.ts';
import { FakeFunction, FakeHost, networkAdapter, words } from './fake-host.ts';

const root = { segment: 0, bus: 0 };

function scanner(host: FakeHost) {
  const requester = new Requester(host);
  return {
    requester,
    configOf: (address: ReturnType<typeof makeSbdf>) => new ConfigSpace(requester, address),
  };
}

const bridge = (secondary: number, subordinate: number) =>
  new FakeFunction({
    0x00: words(0x1234_1b36, 0, 0x0604_0000, 0x0001_0000),
    0x18: [0, secondary, subordinate, 0],
  });

test('every one of the 256 addresses of a root is probed, with or without a function 0', () => {
  const host = new FakeHost().add(0, 1, networkAdapter()).add(31, 7, networkAdapter());
  const found = scanBuses([root], scanner(host).configOf);
  expect(found.map(({ address }) => formatSbdf(address))).toEqual(['0000:00:00.1', '0000:00:1f.7']);
  const probed = new Set(
    host.log.filter(({ offset, size }) => offset === 0 && size === 4).map(({ address }) => address),
  );
  expect(probed.size).toBe(256);
});

test('a rescan reads only addresses that are not known', () => {
  const host = new FakeHost().add(0, 0, networkAdapter());
  const { configOf } = scanner(host);
  const known = new Map(scanBuses([root], configOf).map((fn) => [fn.address, fn]));
  host.log.length = 0;
  host.add(1, 0, networkAdapter());
  const found = scanBuses([root], configOf, known);
  expect(found.map(({ address }) => formatSbdf(address))).toEqual(['0000:00:01.0']);
  expect(host.log.some(({ address }) => known.has(address))).toBe(false);
});

test('buses behind bridges are scanned, also when the bridge is known already', () => {
  const host = new FakeHost().add(2, 0, bridge(5, 6)).add(0, 0, networkAdapter(), 5);
  const { configOf } = scanner(host);
  const found = scanBuses([root], configOf);
  expect(found.map(({ address }) => formatSbdf(address))).toEqual(['0000:00:02.0', '0000:05:00.0']);
  host.add(1, 0, networkAdapter(), 5);
  const again = scanBuses([root], configOf, new Map(found.map((fn) => [fn.address, fn])));
  expect(again.map(({ address }) => formatSbdf(address))).toEqual(['0000:05:01.0']);
});

test('a bridge that points at its own bus or above it does not keep the scan going', () => {
  const host = new FakeHost().add(0, 0, bridge(0, 0)).add(1, 0, bridge(3, 3)).add(0, 0, bridge(3, 3), 3);
  const found = scanBuses([root], scanner(host).configOf);
  expect(found.map(({ address }) => formatSbdf(address))).toEqual([
    '0000:00:00.0',
    '0000:00:01.0',
    '0000:03:00.0',
  ]);
});

test('all roots are scanned, each once', () => {
  const host = new FakeHost().add(0, 0, networkAdapter(), 3).add(0, 0, networkAdapter(), 5);
  const roots = [
    { segment: 0, bus: 3 },
    { segment: 0, bus: 5 },
    { segment: 0, bus: 3 },
  ];
  const found = scanBuses(roots, scanner(host).configOf);
  expect(found.map(({ address }) => formatSbdf(address))).toEqual(['0000:03:00.0', '0000:05:00.0']);
});

test('root keys are read as hex, and nothing else is taken for one', () => {
  expect(parseRoot('0000:00')).toEqual({ segment: 0, bus: 0 });
  expect(parseRoot('0001:a0')).toEqual({ segment: 1, bus: 0xa0 });
  for (const text of [undefined, '', '0000', '0000:100', '10000:00', '0000:00:00', ' 0000:00']) {
    expect(parseRoot(text)).toBeUndefined();
  }
});
