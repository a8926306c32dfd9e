import { expect, test } from 'vitest';
import { type Sbdf, parseSbdf } from '../../src/address.ts';
import { BridgeMap } from '../../src/topology/bridges.ts';
import { PassthroughTopology } from '../../src/topology/passthrough.ts';
import { VpciTopology } from '../../src/topology/vpci.ts';

const at = (text: string): Sbdf => parseSbdf(text) ?? expect.unreachable(text);
const plain = (text: string) => ({ sbdf: at(text), bridge: false, virtualFunction: false });

/** 00:1c.0 leads to bus 3 and, through 03:00.0, to bus 4. */
function host(): BridgeMap {
  const bridge = (text: string, secondary: number, subordinate: number) => {
    const config = new Uint8Array(64);
    config.set([1], 0x0e);
    config.set([0, secondary, subordinate], 0x18);
    return { sbdf: at(text), config };
  };
  const leaf = (text: string) => ({ sbdf: at(text), config: new Uint8Array(64) });
  return new BridgeMap([
    bridge('00:1c.0', 3, 4),
    bridge('03:00.0', 4, 4),
    leaf('04:00.0'),
    leaf('04:00.1'),
    leaf('05:00.0'),
  ]);
}

test('functions keep their addresses and each bus is a root once', () => {
  const topology = new PassthroughTopology(host());
  expect(topology.place(plain('04:00.0'))).toBe(at('04:00.0'));
  topology.place(plain('04:00.1'));
  topology.place(plain('0001:05:00.0'));
  expect(topology.roots()).toEqual([
    { segment: 0, bus: 4 },
    { segment: 1, bus: 5 },
  ]);
  topology.remove(at('0001:05:00.0'));
  expect(topology.roots()).toHaveLength(1);
});

test('a bridge comes with everything behind it, and hides the roots below it', () => {
  const topology = new PassthroughTopology(host());
  const bridge = { ...plain('03:00.0'), bridge: true };
  topology.place(plain('04:00.0'));
  expect(() => topology.place(bridge)).toThrow(/0000:04:00\.1 behind it is not in this guest/);
  expect(topology.guestAddressOf(at('03:00.0'))).toBeUndefined();
  topology.place(plain('04:00.1'));
  topology.place(bridge);
  expect(topology.roots()).toEqual([{ segment: 0, bus: 3 }]);
});

test('a host bridge has no place on any bus', () => {
  const hostBridge = { ...plain('05:00.0'), bridge: true, hostBridge: true };
  const refusal = expect.objectContaining({ reason: 'BRIDGE' });
  for (const topology of [new PassthroughTopology(host()), new VpciTopology()]) {
    expect(() => topology.place(hostBridge, 0)).toThrow(refusal);
    expect(topology.guestAddressOf(hostBridge.sbdf)).toBeUndefined();
  }
});
