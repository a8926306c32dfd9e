import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSbdf, makeSbdf, type Sbdf } from '../../src/address.ts';
import { formatPattern } from '../../src/toolstack/address-text.ts';
import { matchHideList, parseHideList } from '../../src/toolstack/hide-list.ts';

const namesIn = (text: string): string[] =>
  parseHideList(text).entries.map(({ pattern }) => formatPattern(pattern));
const mistakesIn = (text: string): [number, string, string][] =>
  parseHideList(text).problems.map(({ at, length, what }) => [at, text.slice(at, at + length), what]);

describe('a hide list', () => {
  it.each([
    ['(03:00.0)(04:00.1)', ['0000:03:00.0', '0000:04:00.1']],
    ['(0000:03:00.0)', ['0000:03:00.0']],
    ['(0001:03:00.0)', ['0001:03:00.0']],
    ['(03:00.*)', ['0000:03:00.*']],
    ['(03:*.*)', ['0000:03:*.*']],
    ['(0002:03:*.*)', ['0002:03:*.*']],
    ['(03:00.0),(04:00.0)', ['0000:03:00.0', '0000:04:00.0']],
    [' (03:00.0) (04:00.0) ', ['0000:03:00.0', '0000:04:00.0']],
    ['(03:00.0)(0000:04:00.1)', ['0000:03:00.0', '0000:04:00.1']],
    ['( 03:00.0 )\t(a0:1F.7)\n', ['0000:03:00.0', '0000:a0:1f.7']],
    ['(ffff:ff:1f.7)', ['ffff:ff:1f.7']],
    ['03:00.0 04:00.*,0000:05:00.1', ['0000:03:00.0', '0000:04:00.*', '0000:05:00.1']],
    ['', []],
    [' , ', []],
  ])('%j names %j', (text, expected) => {
    expect(namesIn(text)).toEqual(expected);
    expect(mistakesIn(text)).toEqual([]);
  });

  it.each([
    ['(03:*.0)', [4 + 2, '0', 'after * as the device, the function must be * too']],
    ['(03:00.0', [0, '(03:00.0', "the parenthesis of '(03:00.0' is not closed"]],
    ['(03:00)', [6, '', 'the function number is missing']],
    ['(03)', [1, '03', "'03' is not a PCI address"]],
    ['(03:20.0)', [4, '20', 'there is no device 20']],
    ['(100:00.0)', [1, '100', 'there is no bus 100']],
    ['(10000:03:00.0)', [1, '10000', 'there is no segment 10000']],
    ['(03:00.8)', [7, '8', 'there is no function 8']],
    ['(0000:82.0.0)', [6, '82', 'there is no device 82']],
    ['(82.0.0)', [3, '.', "':' and the device number should follow the bus number, not '.'"]],
    ['(03:00.0z)', [8, 'z', "'z' after the address means nothing"]],
    ['(03:00.0,04:00.0)', [8, ',04:00.0', "',04:00.0' after the address means nothing"]],
    ['(0x03:00.0)', [1, '0x', 'addresses are hexadecimal without 0x']],
    ['(-1:00.0)', [1, '-', 'a bus number has no sign']],
    ['(03: 00.0)', [4, ' ', 'a blank cannot stand in an address']],
    ['(*:00.0)', [1, '*', '* cannot stand for the bus']],
    ['()', [1, '', 'the entry is empty']],
    ['(  )', [1, '  ', 'the entry is empty']],
    ['(eth0)', [2, 't', "':' and the device number should follow the bus number, not 't'"]],
    [')', [0, ')', "')' is not a bus number"]],
  ])('%j is wrong at %j', (text, mistake) => {
    expect(mistakesIn(text)).toEqual([mistake]);
  });

  it('counts all entries but the wrong ones, and names each of those', () => {
    const text = '(03:00.0)(03:*.0)(04:00.0 (05:00.0),(06:00.9) 07:00.0';
    expect(namesIn(text)).toEqual(['0000:03:00.0', '0000:05:00.0', '0000:07:00.0']);
    expect(mistakesIn(text).map(([at]) => at)).toEqual([15, 17, 43]);
  });

  it('takes a hundred entries', () => {
    const text = Array.from(
      { length: 100 },
      (_, index) => `(${index.toString(16).padStart(2, '0')}:00.0)`,
    ).join('');
    expect(namesIn(text)).toHaveLength(100);
    expect(mistakesIn(text)).toEqual([]);
  });

  it('tells where in a larger text a mistake is', () => {
    expect(parseHideList('(03:00.0)(03:00.9)', 100).problems[0]).toMatchObject({ at: 116, length: 1 });
    expect(parseHideList('(03:00.0)(04:00.0)', 100).entries[1]).toMatchObject({ at: 109, length: 9 });
  });

  it('reads back every address it is given, whatever the separators', () => {
    const address = fc
      .tuple(fc.nat(0xffff), fc.nat(0xff), fc.nat(0x1f), fc.nat(7))
      .map(([segment, bus, device, fn]) => makeSbdf(segment, bus, device, fn));
    const separated = fc.array(fc.tuple(address, fc.constantFrom('', ' ', ',', ' , ', '\n')));
    fc.assert(
      fc.property(separated, (items) => {
        const text = items.map(([sbdf, separator]) => `(${formatSbdf(sbdf)})${separator}`).join('');
        expect(namesIn(text)).toEqual(items.map(([sbdf]) => formatSbdf(sbdf)));
      }),
    );
  });

  it('never throws, and places every mistake inside the text', () => {
    const scraps = fc.constantFrom('(', ')', '03', ':', '00', '.', '0', '*', ' ', ',', '(03:00.0)', 'x', '-');
    fc.assert(
      fc.property(
        fc.array(scraps).map((parts) => parts.join('')),
        (text) => {
          for (const { at, length } of parseHideList(text).problems) {
            expect(at).toBeGreaterThanOrEqual(0);
            expect(at + length).toBeLessThanOrEqual(text.length);
          }
        },
      ),
    );
  });
});

describe('matching a hide list', () => {
  const host: Sbdf[] = [
    makeSbdf(0, 3, 0, 0),
    makeSbdf(0, 3, 0, 1),
    makeSbdf(0, 3, 1, 0),
    makeSbdf(1, 3, 0, 0),
  ];

  it.each([
    ['(03:00.0)', ['0000:03:00.0']],
    ['(03:00.*)', ['0000:03:00.0', '0000:03:00.1']],
    ['(03:*.*)', ['0000:03:00.0', '0000:03:00.1', '0000:03:01.0']],
    ['(0001:03:*.*)(03:01.0)(03:01.0)', ['0000:03:01.0', '0001:03:00.0']],
  ])('%s hides %j', (text, expected) => {
    const { functions, unmatched } = matchHideList(parseHideList(text).entries, host);
    expect(functions.map(formatSbdf)).toEqual(expected);
    expect(unmatched).toEqual([]);
  });

  it('tells which entries name nothing', () => {
    const { functions, unmatched } = matchHideList(parseHideList('(09:00.0)(03:00.1)').entries, host);
    expect(functions.map(formatSbdf)).toEqual(['0000:03:00.1']);
    expect(unmatched.map(({ at }) => at)).toEqual([0]);
  });
});
