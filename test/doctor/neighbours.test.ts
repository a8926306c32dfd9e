import { describe, expect, it } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import { Neighbourhood } from '../../src/doctor/neighbours.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { sbdf } from '../host/support/functions.ts';

const all = capturedFunctions();
const neighbours = new Neighbourhood(all);
const at = (address: string): (typeof all)[number] => {
  const found = all.find((fn) => fn.sbdf === sbdf(address));
  if (!found) throw new Error(`nothing at ${address}`);
  return found;
};
const names = (functions: readonly { sbdf: Parameters<typeof formatSbdf>[0] }[] | null): string[] =>
  (functions ?? []).map((fn) => formatSbdf(fn.sbdf));

describe('neighbours among the bundled functions', () => {
  it('are functions of one device', () => {
    expect(names(neighbours.siblingsOf(at('45:00.0')))).toEqual(['0000:45:00.1']);
    expect(names(neighbours.siblingsOf(at('41:00.0')))).toEqual([]);
  });

  it('are those behind one conventional bus', () => {
    expect(names(neighbours.sharingRequester(at('44:01.0')))).toEqual(['0000:44:02.0']);
    expect(names(neighbours.sharingRequester(at('45:00.0')))).toEqual([]);
  });

  it('are not those behind root ports of other devices', () => {
    expect(names(neighbours.peersOf(at('41:00.0')))).toEqual([]);
  });

  it('are those behind a downstream port beside one without ACS', () => {
    // Upstream port 50:00.0 leads to bus 51, where two downstream ports lead to 52 and 53.
    const bridge = (address: string, from: number, to: number, last: number, type: number, acs = false) => {
      const config = new Uint8Array(4096);
      config.set([0x10], 0x06);
      config.set([1], 0x0e);
      config.set([from, to, last], 0x18);
      config.set([0x40], 0x34);
      config.set([0x10, 0, (type << 4) | 2, 0], 0x40);
      if (acs) config.set([0x0d, 0, 1, 0], 0x100);
      return { sbdf: sbdf(address), config, physicalFunction: null };
    };
    const device = (address: string) => ({
      sbdf: sbdf(address),
      config: new Uint8Array(4096),
      physicalFunction: null,
    });
    const tree = (acs: boolean) => [
      bridge('50:00.0', 0x50, 0x51, 0x53, 5),
      bridge('51:00.0', 0x51, 0x52, 0x52, 6, acs),
      bridge('51:01.0', 0x51, 0x53, 0x53, 6, acs),
      device('52:00.0'),
      device('53:00.0'),
    ];
    const peers = (acs: boolean): string[] => {
      const functions = tree(acs);
      const [, , , judged] = functions;
      return judged ? names(new Neighbourhood(functions).peersOf(judged)) : [];
    };
    expect(peers(false)).toEqual(['0000:53:00.0']);
    expect(peers(true)).toEqual([]);
  });
});
