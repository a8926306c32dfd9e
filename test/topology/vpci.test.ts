import { describe, expect, test } from 'vitest';
import { type Sbdf, formatVdev, makeSbdf, parseSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { VpciTopology } from '../../src/topology/vpci.ts';

const at = (text: string): Sbdf => parseSbdf(text) ?? expect.unreachable(text);
const plain = (text: string) => ({ sbdf: at(text), bridge: false, virtualFunction: false });
const vf = (text: string) => ({ ...plain(text), virtualFunction: true });

describe('placing on the virtual bus', () => {
  test.each([
    [
      'functions of one physical slot share a slot',
      [plain('03:00.1'), plain('03:00.0'), plain('05:02.0')],
      ['0000:00:00.01', '0000:00:00.00', '0000:00:01.00'],
    ],
    [
      'segments are told apart',
      [plain('0001:03:00.0'), plain('03:00.1')],
      ['0000:00:00.00', '0000:00:01.01'],
    ],
    ['a VF with number 0 stays alone', [vf('04:10.0'), vf('04:10.2')], ['0000:00:00.00', '0000:00:01.02']],
    ['and does not join others', [vf('04:10.2'), vf('04:10.0')], ['0000:00:00.02', '0000:00:01.00']],
  ])('%s', (_, candidates, expected) => {
    const topology = new VpciTopology();
    expect(candidates.map((candidate) => formatVdev(topology.place(candidate, 0)))).toEqual(expected);
    expect(topology.roots()).toEqual([{ segment: 0, bus: 0 }]);
  });

  test('a removed function leaves its slot to the next', () => {
    const topology = new VpciTopology();
    topology.place(plain('03:00.0'), 0);
    topology.remove(at('03:00.0'));
    expect(topology.guestAddressOf(at('03:00.0'))).toBeUndefined();
    expect(formatVdev(topology.place(plain('05:02.0'), 0))).toBe('0000:00:00.00');
  });

  test('placing twice changes nothing', () => {
    const topology = new VpciTopology();
    const first = topology.place(plain('03:00.0'), 0);
    expect(topology.place(plain('03:00.0'), 5 << 3)).toBe(first);
  });

  test('a requested slot is given when it is free', () => {
    const topology = new VpciTopology();
    expect(formatVdev(topology.place(plain('03:00.0'), 8 << 3))).toBe('0000:00:08.00');
    expect(formatVdev(topology.place(plain('04:00.0'), 8 << 3))).toBe('0000:00:00.00');
    expect(formatVdev(topology.place(plain('03:00.1'), 9 << 3))).toBe('0000:00:08.01');
  });

  test('a lone function can be shown as function 0, and nobody joins it there', () => {
    const topology = new VpciTopology({ loneFunctionAtZero: true });
    expect(formatVdev(topology.place(plain('03:00.1'), 0))).toBe('0000:00:00.00');
    expect(formatVdev(topology.place(plain('03:00.0'), 0))).toBe('0000:00:01.00');
  });

  test('adopted functions are where they were', () => {
    const topology = new VpciTopology();
    topology.occupy(plain('03:00.0'), makeSbdf(0, 0, 7, 0));
    expect(topology.guestAddressOf(at('03:00.0'))).toBe(makeSbdf(0, 0, 7, 0));
    expect(formatVdev(topology.place(plain('03:00.1'), 0))).toBe('0000:00:07.01');
    expect(formatVdev(topology.place(plain('04:00.0'), 0))).toBe('0000:00:00.00');
  });

  test('bridges are refused', () => {
    const topology = new VpciTopology();
    expect(() => topology.place({ ...plain('00:1c.0'), bridge: true }, 0)).toThrow(PcibackError);
    expect(topology.guestAddressOf(at('00:1c.0'))).toBeUndefined();
  });

  test('the thirty-third device finds no slot', () => {
    const topology = new VpciTopology();
    for (let bus = 1; bus <= 32; bus++) topology.place(plain(`${bus.toString(16)}:00.0`), 0);
    expect(() => topology.place(plain('40:00.0'), 0)).toThrow(/no slot is left/);
    topology.remove(at('05:00.0'));
    expect(formatVdev(topology.place(plain('40:00.0'), 0))).toBe('0000:00:04.00');
  });
});
