import { expect, test } from 'vitest';
import { parseFrontendKeys } from '../../src/xenbus/index.ts';

test('a front-end publishes a page, a port and its magic', () => {
  expect(parseFrontendKeys(['8', '9', '7'])).toEqual({ grantRef: 8, port: 9 });
  expect(parseFrontendKeys(['0', '4294967295', '7\0'])).toEqual({ grantRef: 0, port: 0xffff_ffff });
});

test.each(['6', '8', '07', ' 7', '7 ', '', '7\n'])('another magic is turned down: %j', (magic) => {
  expect(() => parseFrontendKeys(['8', '9', magic])).toThrow(
    expect.objectContaining({ reason: 'BAD-MAGIC' }),
  );
});

test.each([
  [undefined, '9'],
  ['8', undefined],
  ['-1', '9'],
  ['8', '4294967296'],
  ['../../0/8', '9'],
  ['8', '9/../../0/9'],
])('what is no number, or is missing, is turned down: %j, %j', (ref, port) => {
  expect(() => parseFrontendKeys([ref, port, '7'])).toThrow(
    expect.objectContaining({ reason: 'FRONTEND-KEYS' }),
  );
});
