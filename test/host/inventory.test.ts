import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { captureInventory, demoInventory, hostInventory, isExportable } from '../../src/host/inventory.ts';
import { captured, sbdf } from './support/functions.ts';
import { temporaryDirectory, writeFunction } from './support/tree.ts';

const nic = captured('8086:10d3');
const bridge = captured('8086:244e');
const physical = captured('8086:10c9');

/** Stands for /sys/bus/pci of a machine with these functions. */
function machine(...functions: readonly FunctionFacts[]): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'devices'));
  for (const facts of functions) writeFunction(join(directory, 'devices'), facts);
  return directory;
}

const addresses = (functions: readonly FunctionFacts[]): number[] => functions.map((facts) => facts.sbdf);

describe('the functions of the host', () => {
  it('are those of this machine, if there is one to export', () => {
    const { functions } = hostInventory({ bus: machine(bridge, nic) });
    expect(functions.map(({ device, origin }) => [device, origin])).toEqual([
      [0x244e, 'host'],
      [0x10d3, 'host'],
    ]);
  });

  it('are the bundled ones where there are none or nothing but bridges', () => {
    const bundled = captureInventory().functions;
    expect(bundled.filter(isExportable).length).toBeGreaterThanOrEqual(8);
    for (const bus of [machine(), machine(bridge), '/nonexistent/pci']) {
      expect(hostInventory({ bus }).functions).toEqual(bundled);
    }
  });

  it('are those of a tree that is named, even if it has only bridges', () => {
    const { functions } = hostInventory({ sysfs: machine(bridge), bus: machine(nic) });
    expect(functions.map(({ device, origin }) => [device, origin])).toEqual([[0x244e, 'tree']]);
    expect(() => hostInventory({ sysfs: '/nonexistent/pci' })).toThrow(
      expect.objectContaining({ reason: 'BAD-DIRECTORY' }),
    );
  });

  it('can be found on this very machine', () => {
    const { functions } = hostInventory();
    expect(functions.some(isExportable)).toBe(true);
    if (!existsSync('/sys/bus/pci/devices')) expect(functions[0]?.origin).toBe('capture');
  });
});

describe('the functions of a demonstration', () => {
  it('are this machine’s own while there are enough', () => {
    const bus = machine(nic, captured('1b36:0010'));
    expect(demoInventory(2, { bus })).toEqual(hostInventory({ bus }));
    expect(demoInventory(0, { bus })).toEqual(hostInventory({ bus }));
  });

  it('are topped up to the number wanted, by address, with nothing twice', () => {
    const bus = machine({ ...nic, sbdf: sbdf('00:03.0') }, { ...nic, sbdf: sbdf('42:00.0') });
    const { functions } = demoInventory(5, { bus });
    expect(functions.filter(isExportable)).toHaveLength(5);
    expect(addresses(functions)).toEqual([...new Set(addresses(functions))].sort((a, b) => a - b));
    expect(functions.filter(({ origin }) => origin === 'host')).toHaveLength(2);
    expect(functions.find((facts) => facts.sbdf === sbdf('42:00.0'))?.device).toBe(0x10d3);
  });

  it('are as many as there are when more are wanted', () => {
    const bus = machine({ ...nic, sbdf: sbdf('00:03.0') });
    const bundled = captureInventory().functions;
    expect(demoInventory(1000, { bus }).functions).toHaveLength(1 + bundled.length);
    expect(demoInventory(1000, { bus: machine() }).functions).toEqual(bundled);
  });

  it('have no virtual function without its physical function', () => {
    const bus = machine({ ...nic, sbdf: physical.sbdf });
    const { functions } = demoInventory(1000, { bus });
    expect(functions.some(({ physicalFunction }) => physicalFunction !== null)).toBe(false);
    for (let count = 1; count < 12; count++) {
      const chosen = demoInventory(count, { bus: machine({ ...nic, sbdf: sbdf('00:03.0') }) }).functions;
      for (const { physicalFunction } of chosen) {
        if (physicalFunction !== null) expect(addresses(chosen)).toContain(physicalFunction);
      }
    }
  });
});

describe('what can be exported', () => {
  it('is every function with a device header that is no bridge', () => {
    expect(isExportable(nic)).toBe(true);
    expect(isExportable(bridge)).toBe(false);
    const hostBridge = { ...nic, classCode: 0x06_0000 };
    expect(isExportable(hostBridge)).toBe(false);
    const cardBus = nic.config.slice();
    cardBus[0x0e] = 0x02;
    expect(isExportable({ ...nic, config: cardBus })).toBe(false);
  });
});
