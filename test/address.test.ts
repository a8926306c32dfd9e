import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  busOf,
  deviceOf,
  devfnOf,
  formatSbdf,
  formatVdev,
  formatXenstoreSbdf,
  functionOf,
  makeSbdf,
  parseSbdf,
  segmentOf,
} from '../src/address.ts';

test('parts and text go round', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0, max: 0x1f }),
      fc.integer({ min: 0, max: 7 }),
      (segment, bus, device, fn) => {
        const sbdf = makeSbdf(segment, bus, device, fn);
        expect([segmentOf(sbdf), busOf(sbdf), deviceOf(sbdf), functionOf(sbdf)]).toEqual([
          segment,
          bus,
          device,
          fn,
        ]);
        expect(devfnOf(sbdf)).toBe(device * 8 + fn);
        expect(parseSbdf(formatSbdf(sbdf))).toBe(sbdf);
      },
    ),
  );
});

test.each([
  ['03:00.0', '0000:03:00.0'],
  ['3:0.7', '0000:03:00.7'],
  ['FFFF:A0:1f.7', 'ffff:a0:1f.7'],
])('%s is %s', (text, full) => {
  const sbdf = parseSbdf(text) ?? expect.unreachable();
  expect(formatSbdf(sbdf)).toBe(full);
});

test.each([
  '',
  '03:00',
  '03:20.0',
  '03:00.8',
  '100:00.0',
  '10000:00:00.0',
  ' 03:00.0',
  '03:00.0 ',
  '0x3:0.0',
  '-3:00.0',
])('%j is no address', (text) => {
  expect(parseSbdf(text)).toBeUndefined();
});

test('the spellings of xenstore', () => {
  expect(formatVdev(makeSbdf(0, 0, 1, 2))).toBe('0000:00:01.02');
  expect(formatXenstoreSbdf(makeSbdf(0, 3, 0x1f, 2))).toBe('0000-03-1f-2');
});
