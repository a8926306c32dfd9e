import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { sizeBars } from '../../src/xpci/bars.ts';
import { ConfigSpace } from '../../src/xpci/config.ts';
import { Requester } from '../../src/xpci/requests.ts';
import { FakeFunction, FakeHost, networkAdapter } from './fake-host.ts';

const address = makeSbdf(0, 0, 0, 0);

function configOf(fn: FakeFunction) {
  const host = new FakeHost().add(0, 0, fn);
  return { host, fn, config: new ConfigSpace(new Requester(host), address) };
}

test('every kind of BAR is sized, and a 64-bit pair is one BAR', () => {
  const { config } = configOf(networkAdapter());
  expect(sizeBars(config, 0)).toEqual([
    { index: 0, kind: 'memory32', prefetchable: false, base: 0xfeb8_0000n, size: 0x2_0000n },
    { index: 1, kind: 'memory64', prefetchable: true, base: 0x1_c000_0000n, size: 0x4000n },
    { index: 3, kind: 'io', prefetchable: false, base: 0xe000n, size: 0x20n },
    { index: 6, kind: 'rom', prefetchable: false, base: 0xfeb4_0000n, size: 0x4_0000n },
  ]);
});

test('sizing leaves every register as it was', () => {
  const { fn, config } = configOf(networkAdapter());
  const before = new Uint8Array(fn.bytes.buffer.slice(0));
  sizeBars(config, 0);
  expect(new Uint8Array(fn.bytes.buffer)).toEqual(before);
});

test('nothing decodes while a BAR holds all ones', () => {
  const { host, config } = configOf(networkAdapter());
  sizeBars(config, 0);
  const writes = host.log.filter(({ cmd }) => cmd === 1);
  expect(writes.at(0)).toMatchObject({ offset: 0x04, value: 0x0000 });
  expect(writes.at(-1)).toMatchObject({ offset: 0x04, value: 0x0003 });
  expect(writes.slice(1, -1).every(({ offset }) => offset >= 0x10)).toBe(true);
});

test('the ROM is sized without its enable bit', () => {
  const { host, config } = configOf(networkAdapter());
  sizeBars(config, 0);
  const romWrites = host.log.filter(({ cmd, offset }) => cmd === 1 && offset === 0x30);
  expect(romWrites.map(({ value }) => value)).toEqual([0xffff_f800, 0xfeb4_0000]);
});

test('a 64-bit BAR larger than 4 GiB has its size from both halves', () => {
  const { config } = configOf(
    new FakeFunction({}, [
      { offset: 0x10, mask: 0x0000_000c, value: 0x0000_000c },
      { offset: 0x14, mask: 0xffff_fffc, value: 0x0000_0040 },
    ]),
  );
  expect(sizeBars(config, 0)[0]).toMatchObject({
    kind: 'memory64',
    base: 0x40_0000_0000n,
    size: 0x4_0000_0000n,
  });
});

test('the last register has no upper half, whatever it claims', () => {
  const { config } = configOf(
    new FakeFunction({}, [{ offset: 0x24, mask: 0xffff_0004, value: 0x1000_0004 }]),
  );
  expect(sizeBars(config, 0)).toEqual([
    { index: 5, kind: 'memory32', prefetchable: false, base: 0x1000_0000n, size: 0x1_0000n },
  ]);
});

test('an I/O BAR that implements sixteen bits only is sized by them', () => {
  const { config } = configOf(
    new FakeFunction({}, [{ offset: 0x10, mask: 0x0000_ff01, value: 0x0000_c001 }]),
  );
  expect(sizeBars(config, 0)[0]).toMatchObject({ kind: 'io', size: 0x100n });
});

test('a bridge has two BARs, and its ROM register is elsewhere', () => {
  const { config } = configOf(
    new FakeFunction({ 0x0e: [1], 0x18: [0, 1, 1, 0] }, [
      { offset: 0x10, mask: 0xffff_f000, value: 0xfe00_0000 },
      { offset: 0x38, mask: 0xffff_0001, value: 0xfd00_0000 },
    ]),
  );
  expect(sizeBars(config, 1).map(({ index, size }) => [index, size])).toEqual([
    [0, 0x1000n],
    [6, 0x1_0000n],
  ]);
});

test('an unknown header layout has no BARs', () => {
  const { host, config } = configOf(networkAdapter());
  expect(sizeBars(config, 2)).toEqual([]);
  expect(host.log).toEqual([]);
});
