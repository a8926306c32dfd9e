import { describe, expect, it } from 'vitest';
import { RamConfig, seize, seizedFrom } from '../../src/config-space/index.ts';
import { WriteLog } from '../../src/config-space/ram.ts';
import { bridge, image, nic, type Rows } from './support.ts';

const identity = { vendor: 0x8086, device: 0x10d3, resources: [], irq: 17, physicalFunction: null };

function seizing(rows: Rows): {
  readonly written: readonly string[];
  readonly config: Uint8Array;
  readonly after: Uint8Array;
} {
  const hardware = new RamConfig(image(rows));
  const log = new WriteLog(hardware);
  const { config } = seize(log, identity);
  const after = Uint8Array.from({ length: 4096 }, (_, offset) => hardware.read(offset, 1));
  const written = log
    .take()
    .map(({ offset, size, value }) => `${offset.toString(16)}/${size}=${value.toString(16)}`);
  return { written, config, after };
}

describe('seizing', () => {
  it('takes away bus mastering and wake-up', () => {
    expect(seizing(nic).written).toEqual(['4/2=2', 'cc/2=2008']);
    expect(seizing({ ...nic, 0x04: '0300', 0xcc: '0000' }).written).toEqual([]);
    expect(seizing(bridge).written).toEqual(['4/2=3']);
  });

  it('switches off the interrupts of a function that a driver left running, and nothing else', () => {
    const running = { ...nic, 0x04: '0604', 0xcc: '0000' };
    expect(seizing({ ...running, 0xa2: '0480' }).written).toEqual(['4/2=402', 'a2/2=4']);
    expect(seizing({ ...running, 0xd2: '8100' }).written).toEqual(['4/2=402', 'd2/2=80']);
  });

  it('lets no mask on all vectors of MSI-X stay, with which Xen gives the function to nobody', () => {
    for (const control of ['0440', '04c0']) {
      const { written } = seizing({ ...nic, 0x04: '0300', 0xcc: '0000', 0xa2: control });
      expect(written).toEqual(['a2/2=4']);
    }
  });

  it.each([nic, bridge, { ...nic, 0x04: 'ffff', 0xa2: '04c0', 0xd2: '8100', 0xcc: 'ffff' }])(
    'leaves the hardware as it says',
    (rows) => {
      const { after, config } = seizing(rows);
      expect(after).toEqual(config);
      expect(config).toEqual(seizedFrom(identity, image(rows)).config);
    },
  );

  it('refuses a header it does not know before it touches anything', () => {
    for (const type of ['02', '82', '7f']) {
      const log = new WriteLog(new RamConfig(image({ ...nic, 0x0e: type })));
      expect(() => seize(log, identity)).toThrow(expect.objectContaining({ reason: 'HEADER-TYPE' }));
      expect(log.take()).toEqual([]);
    }
    expect(() => seizedFrom(identity, image({ ...nic, 0x0e: '80' }))).not.toThrow();
  });

  it('works with as little as an unprivileged user can read', () => {
    const seized = seizedFrom(identity, image(nic, 64));
    expect(seized.config.length).toBe(256);
    expect(seizedFrom(identity, image(nic, 4096)).config.length).toBe(4096);
  });

  it('notes what is a virtual function', () => {
    expect(seizedFrom(identity, image(nic)).virtualFunction).toBe(false);
    expect(seizedFrom({ ...identity, physicalFunction: 0 }, image(nic)).virtualFunction).toBe(true);
  });
});
