import { describe, expect, it } from 'vitest';
import {
  hasPendingTransactions,
  InterruptKind,
  quiesce,
  RamConfig,
  reapply,
  restoreConfig,
  saveConfig,
  verifyConfig,
} from '../../src/config-space/index.ts';
import { WriteLog } from '../../src/config-space/ram.ts';
import { bridge, image, nic, type Rows, setUp } from './support.ts';

/** What a reset leaves: identification and capabilities, but no settings. */
const afterReset: Rows = {
  0x04: '0000',
  0x0c: '0000',
  0x10: '00'.repeat(24),
  0x31: '000000',
  0x3c: '00',
  0xe8: '0028',
  0x108: '00000000',
};

/** Offsets in the order in which a restore writes them. */
function order(saved: Rows, reset: Rows): readonly number[] {
  const hardware = new WriteLog(new RamConfig(image({ ...saved, ...reset })));
  restoreConfig(hardware, image(saved));
  return hardware.take().map(({ offset }) => offset);
}

describe('restoring', () => {
  it('brings back every setting, the command register last', () => {
    const saved = { ...nic, 0x108: '00100000' };
    expect(order(saved, afterReset)).toEqual([0xe8, 0x108, 0x3c, 0x30, 0x10, 0x14, 0x18, 0x1c, 0x0c, 0x04]);
  });

  it('makes the function as it was', () => {
    const saved = image({ ...nic, 0x108: '00100000' });
    const hardware = new RamConfig(image({ ...nic, ...afterReset }));
    restoreConfig(hardware, saved);
    expect(saveConfig(hardware)).toEqual(saved);
    expect(verifyConfig(hardware, saved)).toEqual([]);
  });

  it('writes nothing that is there already', () => {
    expect(order(nic, {})).toEqual([]);
  });

  it('never starts a reset, a self test or an interrupt, nor clears a status', () => {
    const saved = { ...nic, 0x06: '10f9', 0x0f: '40', 0xa2: '0480', 0xd2: '8100', 0xe8: '1028 0f00' };
    const hardware = new WriteLog(new RamConfig(image(nic)));
    restoreConfig(hardware, image({ ...saved, 0xe8: '10a8' }));
    expect(hardware.take()).toEqual([]);
  });

  it('gives a bridge its windows before its buses', () => {
    const cleared = { 0x04: '0000', 0x18: '00'.repeat(4), 0x1c: '0000', 0x20: '00'.repeat(8), 0x3e: '0000' };
    expect(order(bridge, cleared)).toEqual([0x24, 0x20, 0x1c, 0x18, 0x3e, 0x04]);
  });

  it('sizes resizable BARs before it places them', () => {
    const saved = { ...nic, 0x100: '15000100 00000000 200b0000' };
    expect(order(saved, { 0x12: '0000', 0x108: '20000000' })).toEqual([0x108, 0x10]);
  });

  it('follows the capabilities of the saved configuration, whatever the function says now', () => {
    const hardware = new RamConfig(image({ 0x00: 'ffffffff' }));
    restoreConfig(hardware, image(nic));
    expect(hardware.read(0xe8, 2)).toBe(0x2810);
  });
});

describe('verifying', () => {
  it('names what is not as it was', () => {
    const hardware = new RamConfig(image({ ...nic, 0x02: '0000', 0x14: '00000000', 0x04: '0000' }));
    expect(verifyConfig(hardware, image(nic)).map(({ name }) => name)).toEqual([
      'Vendor and device ID',
      'BAR 1',
      'Command',
    ]);
  });

  it('sees that a function does not answer', () => {
    const dead = new RamConfig(new Uint8Array(4096).fill(0xff));
    expect(verifyConfig(dead, image(nic))[0]).toEqual({
      name: 'Vendor and device ID',
      offset: 0,
      expected: 0x10d3_8086,
      actual: 0xffff_ffff,
    });
  });
});

describe('around a reset', () => {
  it('stops bus mastering, and waits for nothing that is not there', () => {
    const hardware = new RamConfig(image(nic));
    quiesce(hardware);
    expect(hardware.read(0x04, 2)).toBe(0x0002);
    expect(hasPendingTransactions(hardware, image(nic))).toBe(false);
    hardware.write(0xea, 2, 0x0020);
    expect(hasPendingTransactions(hardware, image(nic))).toBe(true);
    expect(hasPendingTransactions(hardware, image({ 0x00: '86801234' }))).toBe(false);
  });

  it.each([
    ['MSI', InterruptKind.msi, 0xd2, 0x0081],
    ['MSI-X', InterruptKind.msix, 0xa2, 0x8004],
  ])('gives the guest its %s back', (_, kind, control, value) => {
    const { filter, hardware } = setUp();
    filter.write(0x04, 2, 0x0006);
    filter.record.grant(kind, 0);
    restoreConfig(hardware, filter.table.seized.config);
    reapply(filter);
    expect(hardware.read(control, 2)).toBe(value);
    expect(hardware.read(0x04, 2)).toBe(0x0407);
  });
});
