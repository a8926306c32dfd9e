/** Answers to the byte: what of the shared page changes, and what does not. */
import { describe, expect, it } from 'vitest';
import { Command } from '../../src/ring/layout.ts';
import { type Guest, guestWith } from './support.ts';

const bytes = (text: string): readonly number[] =>
  text
    .replaceAll(' ', '')
    .match(/../g)
    ?.map((digits) => Number.parseInt(digits, 16)) ?? [];

/** Puts a request into the page, over noise, and returns what of the page is different afterwards, as offset: bytes. */
function exchange({ page, serve }: Guest, request: string): Readonly<Record<string, string>> {
  page.fill(0xa5);
  page.set(bytes(request));
  const before = Uint8Array.from(page);
  serve();
  const runs: Record<string, string> = {};
  for (let at = 0; at < page.length; at++) {
    if (page[at] === before[at]) continue;
    const start = at;
    while (at < page.length && page[at] !== before[at]) at++;
    runs[start.toString(16)] = Buffer.from(page.subarray(start, at)).toString('hex');
  }
  return runs;
}

describe('an answer on the page', () => {
  it.each([
    [
      'P1 read of a dword',
      '01000000 00000000 5A5A5A5A 00000000 00000000 00000000 00000000 04000000 00000000 00000000',
      { 0: '00', 8: '00000000', 20: '8680d310' },
    ],
    [
      'P2 read of a word at 1',
      '01000000 00000000 00000000 00000000 00000000 00000000 01000000 02000000 FFFFFFFF 00000000',
      { 0: '00', 8: 'feffffff', 20: '00000000' },
    ],
    [
      'P3 write of the command register',
      '01000000 01000000 00000000 00000000 00000000 00000000 04000000 02000000 07040000 00000000',
      { 0: '00' },
    ],
    [
      'P4 a function that is not there',
      '01000000 00000000 5A5A5A5A 00000000 00000000 0A000000 00000000 04000000 78563412 00000000',
      { 0: '00', 8: 'ffffffff' },
    ],
    [
      'P5 several MSI vectors',
      '01000000 0A000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 02000000',
      { 0: '00', 8: 'fcffffff' },
    ],
    [
      'P6 another bus',
      '01000000 00000000 00000000 00000000 01000000 00000000 00000000 04000000 00000000 00000000',
      { 0: '00', 8: 'ffffffff' },
    ],
    [
      'P7 a domain of more than 16 bits',
      '01000000 00000000 00000000 00000100 00000000 00000000 00000000 04000000 00000000 00000000',
      { 0: '00', 8: 'ffffffff' },
    ],
    [
      'P8 the AER bit of a front-end',
      '03000000 00000000 5A5A5A5A 00000000 00000000 00000000 00000000 04000000 00000000 00000000',
      { 0: '02', 8: '00000000', 20: '8680d310' },
    ],
  ] as const)('is %s', (_, request, changes) => {
    expect(exchange(guestWith(), request)).toEqual(changes);
  });

  it('comes only to a request', () => {
    const { page, serve } = guestWith();
    page[0] = 0x02;
    expect(serve()).toBe(false);
  });

  it('puts vectors beside their entries, and no more of them than were asked for', () => {
    const guest = guestWith();
    const request =
      '01000000 04000000 5A5A5A5A 00000000 00000000 00000000 00000000 00000000 02000000 00000000' +
      'FFFF0300 FFFF0100 FFFF0200';
    expect(exchange(guest, request)).toEqual({ 0: '00', 8: '00000000', 20: '00', 28: '3700', '2c': '3800' });
  });
});

/** A request for interrupts at 0000:00:00.0; returns the answer's err and value. */
function ask(
  { page, serve }: Guest,
  cmd: number,
  entries: readonly number[] = [],
  count = entries.length,
): readonly number[] {
  const words = new DataView(page.buffer);
  page.fill(0);
  words.setUint32(0, 1, true);
  words.setUint32(4, cmd, true);
  words.setUint32(32, count, true);
  entries.forEach((entry, i) => words.setUint16(42 + 4 * i, entry, true));
  serve();
  return [words.getInt32(8, true), words.getUint32(32, true)];
}

it('M1 to M10: interrupts are switched in every order', () => {
  const guest = guestWith();
  const { enableMsi, disableMsi, enableMsix, disableMsix } = Command;
  expect(ask(guest, enableMsi)).toEqual([0, 0x37]);
  expect(ask(guest, enableMsi)).toEqual([-5, 0]);
  expect(ask(guest, enableMsix, [0, 1])).toEqual([-5, 2]);
  expect(ask(guest, disableMsi)).toEqual([0, 0x11]);
  expect(ask(guest, disableMsi)).toEqual([0, 0x11]);
  expect(ask(guest, enableMsix, [], 129)).toEqual([-5, 129]);
  expect(ask(guest, enableMsix, [0, 1, 2])).toEqual([0, 0]);
  const words = new DataView(guest.page.buffer);
  expect([0, 1, 2].map((i) => words.getUint32(40 + 4 * i, true))).toEqual([0x38, 0x0001_0039, 0x0002_003a]);
  expect(ask(guest, enableMsix, [3])).toEqual([-5, 1]);
  expect(ask(guest, enableMsi)).toEqual([-5, 0]);
  expect(ask(guest, disableMsix)).toEqual([0, 0x11]);
  expect(guest.pirqs.held.size).toBe(0);
});
