import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Device } from '../../../src/host/uses/devices.ts';
import { interfaceUses, type NetworkTables } from '../../../src/host/uses/interfaces.ts';
import { put } from '../support/devices.ts';
import { temporaryDirectory } from '../support/tree.ts';

const table = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));

/** eth0 has 192.0.2.7/24 and the default route, br0 has 192.0.2.130/25, and the address of ppp0 is in no network. */
const tables: NetworkTables = {
  route: table(`
    Iface Destination Gateway  Flags RefCnt Use Metric Mask
    eth0  00000000    010200C0 0003  0      0   0      00000000
    eth0  000200C0    00000000 0001  0      0   0      00FFFFFF
    br0   800200C0    00000000 0001  0      0   0      80FFFFFF
    ppp0  00000000    00000000 0001  0      0   9      00000000`),
  fibTrie: table(`
    Main:
      +-- 0.0.0.0/0 3 0 5
        |-- 127.0.0.1
          /32 host LOCAL
        |-- 192.0.2.0
          /24 link UNICAST
        |-- 192.0.2.7
          /32 host LOCAL
        |-- 192.0.2.130
          /25 link UNICAST
          /32 host LOCAL
        |-- 192.0.2.255
          /32 link BROADCAST
    Local:
        |-- 192.0.2.7
          /32 host LOCAL`),
  inet6: table(`
    fe8000000000000000fc00fffe000001 02 40 20 80 eth0
    20010db8000000000000000000000007 02 40 00 80 eth0
    fe8000000000000000fc00fffe000002 03 40 20 80 eth1`),
  route6: table(`
    20010db8000000000000000000000000 40 0 00 0 0 1 0 00000001 eth0
    20010db8000000000000000000000007 80 0 00 0 0 1 0 80200001 eth0
    fe800000000000000000000000000000 40 0 00 0 0 1 0 00000001 eth1
    ff000000000000000000000000000000 08 0 00 0 0 1 0 00000001 eth1`),
};

function device(name: string, flags: string, ...uppers: readonly string[]): Device {
  const path = join(temporaryDirectory(), name);
  put(join(path, 'flags'), flags);
  for (const upper of uppers) put(join(path, `upper_${upper}`), '');
  return { path, name, subsystem: 'net', number: undefined, file: undefined };
}

const details = (...parameters: Parameters<typeof device>) =>
  interfaceUses(device(...parameters), tables).map(({ detail }) => detail);

describe('an interface is in use', () => {
  it('when it is up with addresses or routes, each told once and of the right one', () => {
    expect(details('eth0', '0x1003')).toEqual(['up, 192.0.2.7/24, 2001:db8::7/64, 3 routes']);
    expect(details('br0', '0x1003')).toEqual(['up, 192.0.2.130/25, 1 route']);
    expect(details('ppp0', '0x1003')).toEqual(['up, 1 route']);
  });

  it('when others are built on it, up or down', () => {
    expect(details('eth1', '0x1002', 'br0')).toEqual(['down, carries br0']);
    expect(interfaceUses(device('eth1', '0x1003', 'bond0'), tables)).toEqual([
      { what: 'eth1', detail: 'up, carries bond0', remedy: 'take bond0 off eth1, ip link set eth1 down' },
    ]);
  });

  it('not with what being up brings along, and not while it is down', () => {
    expect(details('eth1', '0x1003')).toEqual([]);
    expect(details('eth0', '0x1002')).toEqual([]);
  });
});
