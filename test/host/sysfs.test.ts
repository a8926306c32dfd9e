import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatSbdf, makeSbdf, parseSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { readResetMethodsOf, readSysfs, readSysfsFunction } from '../../src/host/sysfs.ts';
import { captured, sbdf } from './support/functions.ts';
import { temporaryDirectory, writeFunction } from './support/tree.ts';

const nic = captured('8086:10d3');
const virtual = captured('8086:10ca');

/** A tree with these functions; `directory` is what stands for /sys/bus/pci. */
function makeTree(...functions: readonly FunctionFacts[]): {
  directory: string;
  of: (facts: FunctionFacts) => string;
} {
  const directory = temporaryDirectory();
  const devices = join(directory, 'devices');
  mkdirSync(devices);
  for (const facts of functions) writeFunction(devices, facts);
  return { directory, of: (facts) => join(devices, formatSbdf(facts.sbdf)) };
}

/** The one function of a tree that has no other. */
function only(directory: string): FunctionFacts {
  const { functions, warnings } = readSysfs(directory, 'tree');
  expect(warnings).toEqual([]);
  expect(functions).toHaveLength(1);
  const [facts] = functions;
  if (facts === undefined) throw new Error('there is no function');
  return facts;
}

describe('this machine', () => {
  it.runIf(existsSync('/sys/bus/pci/devices'))('can be read, function by function', () => {
    const { functions, warnings } = readSysfs('/sys/bus/pci', 'host');
    const names = readdirSync('/sys/bus/pci/devices').filter((name) => parseSbdf(name) !== undefined);
    expect(functions.length + warnings.length).toBe(names.length);
    for (const { config, origin } of functions) {
      expect([64, 256, 4096]).toContain(config.length);
      expect(origin).toBe('host');
    }
    expect(readSysfs('/sys', 'host').functions).toEqual(functions);
  });
});

describe('a tree', () => {
  it('gives the facts that it was made of, by address', () => {
    const functions = capturedFunctions();
    const { directory } = makeTree(...functions);
    const read = readSysfs(directory, 'tree');
    expect(read.warnings).toEqual([]);
    expect(read.functions.map((facts) => facts.sbdf)).toEqual(
      functions.map((facts) => facts.sbdf).sort((a, b) => a - b),
    );
    for (const facts of functions.filter(({ resetMethods }) => resetMethods.length > 0)) {
      expect(read.functions.find((other) => other.sbdf === facts.sbdf)).toEqual({ ...facts, origin: 'tree' });
    }
  });

  it('may stand for /sys, for /sys/bus/pci, or hold the functions itself', () => {
    const sys = temporaryDirectory();
    const devices = join(sys, 'bus', 'pci', 'devices');
    mkdirSync(devices, { recursive: true });
    mkdirSync(join(sys, 'devices'));
    writeFunction(devices, nic);
    for (const directory of [sys, join(sys, 'bus', 'pci'), devices])
      expect(only(directory).device).toBe(0x10d3);
  });

  it('is nothing without a single function or a place for them', () => {
    const directory = temporaryDirectory();
    for (const path of [directory, join(directory, 'nowhere')]) {
      expect(() => readSysfs(path, 'tree')).toThrow(expect.objectContaining({ reason: 'BAD-DIRECTORY' }));
    }
    mkdirSync(join(directory, 'devices'));
    expect(readSysfs(directory, 'tree')).toEqual({ functions: [], warnings: [] });
  });

  it('need not have any file but the configuration space', () => {
    const { directory, of } = makeTree(nic);
    for (const name of readdirSync(of(nic)).filter((file) => file !== 'config')) rmSync(join(of(nic), name));
    expect(only(directory)).toEqual({
      ...nic,
      resources: [],
      irq: 0x0a,
      driver: null,
      resetMethods: ['pm'],
      origin: 'tree',
    });
  });

  it('may have plain files for links, or directories where links were followed', () => {
    const { directory, of } = makeTree(virtual);
    rmSync(join(of(virtual), 'driver'));
    rmSync(join(of(virtual), 'physfn'));
    writeFileSync(join(of(virtual), 'driver'), '../../../../bus/pci/drivers/vfio-pci\n');
    writeFileSync(join(of(virtual), 'physfn'), '../0000:46:00.0\n');
    expect(only(directory)).toMatchObject({ driver: 'vfio-pci', physicalFunction: sbdf('46:00.0') });

    for (const name of ['driver', 'physfn']) {
      rmSync(join(of(virtual), name));
      mkdirSync(join(of(virtual), name));
    }
    writeFileSync(join(of(virtual), 'uevent'), 'DRIVER=igbvf\nPCI_CLASS=20000\n');
    writeFileSync(join(of(virtual), 'physfn', 'uevent'), 'DRIVER=igb\nPCI_SLOT_NAME=0000:46:00.1\n');
    expect(only(directory)).toMatchObject({ driver: 'igbvf', physicalFunction: sbdf('46:00.1') });
  });

  it('was perhaps captured without root, or cut off', () => {
    const { directory, of } = makeTree(nic);
    for (const [bytes, length] of [
      [64, 64],
      [100, 64],
      [256, 256],
      [300, 256],
    ] as const) {
      writeFileSync(join(of(nic), 'config'), nic.config.subarray(0, bytes));
      expect(only(directory).config).toEqual(nic.config.slice(0, length));
    }
  });

  it('has no legacy interrupt where there is no pin', () => {
    const { directory, of } = makeTree(virtual);
    writeFileSync(join(of(virtual), 'irq'), '130\n');
    expect(only(directory).irq).toBe(0);
  });

  it('takes the kernel at its word about reset methods', () => {
    const { directory, of } = makeTree(nic);
    writeFileSync(join(of(nic), 'reset_method'), 'device_specific flr\n');
    expect(only(directory).resetMethods).toEqual(['device_specific', 'flr']);
    writeFileSync(join(of(nic), 'reset_method'), '\n');
    expect(only(directory).resetMethods).toEqual([]);
  });
});

describe('reset methods of a live host', () => {
  it('are none when the kernel offers no reset, and derived when it does not say which', () => {
    const { directory, of } = makeTree(nic);
    rmSync(join(of(nic), 'reset_method'));
    expect(readSysfs(directory, 'host').functions[0]?.resetMethods).toEqual([]);
    writeFileSync(join(of(nic), 'reset'), '');
    expect(readSysfs(directory, 'host').functions[0]?.resetMethods).toEqual(['pm']);
  });
});

describe('garbage', () => {
  const spoil = (name: string, contents: string | Uint8Array) => (path: string) => {
    rmSync(join(path, name), { recursive: true, force: true });
    writeFileSync(join(path, name), contents);
  };

  it.each([
    ['config', spoil('config', new Uint8Array(63))],
    ['config', spoil('config', '')],
    ['config', (path: string) => rmSync(join(path, 'config'))],
    ['config', (path: string) => (rmSync(join(path, 'config')), mkdirSync(join(path, 'config')))],
    ['vendor', spoil('vendor', 'intel')],
    ['vendor', spoil('vendor', '0x18086')],
    ['class', spoil('class', '0x1020000')],
    ['irq', spoil('irq', '-1')],
    ['resource', spoil('resource', '0x1 0x2')],
    ['reset_method', spoil('reset_method', 'flr; rm -rf /')],
    ['physfn', spoil('physfn', 'pci0000:00')],
    ['', spoil('driver', `drivers/${'x'.repeat(200)}`)],
  ])('in %s leaves out that function alone, and says so', (name, damage) => {
    const other = captured('1b36:0010');
    const { directory, of } = makeTree(nic, other);
    damage(of(nic));
    const { functions, warnings } = readSysfs(directory, 'tree');
    expect(functions.map(({ sbdf: address }) => address)).toEqual([other.sbdf]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toBeInstanceOf(PcibackError);
    expect(warnings[0]).toMatchObject({ reason: 'BAD-FILE' });
    expect(warnings[0]?.message).toContain(join(of(nic), name));
  });

  it('that is a FIFO is not waited for', () => {
    const { directory, of } = makeTree(nic);
    rmSync(join(of(nic), 'vendor'));
    expect(spawnSync('mkfifo', [join(of(nic), 'vendor')]).status).toBe(0);
    expect(readSysfs(directory, 'tree').warnings[0]?.message).toContain('not a regular file');
  });

  it('that goes on and on is not read to its end', () => {
    const { directory, of } = makeTree(nic);
    writeFileSync(join(of(nic), 'vendor'), '1'.repeat(1_000_000));
    const [warning] = readSysfs(directory, 'tree').warnings;
    expect(warning?.message.length).toBeLessThan(300);
  });

  it('among the names is passed over, and the same address twice is said', () => {
    const { directory, of } = makeTree(nic);
    for (const name of ['.git', 'README', '10000:e1:00.0']) mkdirSync(join(directory, 'devices', name));
    expect(only(directory).sbdf).toBe(nic.sbdf);
    mkdirSync(join(directory, 'devices', '41:00.0'));
    const { functions, warnings } = readSysfs(directory, 'tree');
    expect(functions).toHaveLength(1);
    expect(warnings[0]?.message).toContain('there is another');
    expect(existsSync(of(nic))).toBe(true);
  });
});

describe('a function that does not answer', () => {
  const patched = (bytes: Readonly<Record<number, number>>): Uint8Array => {
    const config = nic.config.slice();
    for (const [offset, value] of Object.entries(bytes)) config[Number(offset)] = value;
    return config;
  };

  it.each([
    ['all ones', new Uint8Array(4096).fill(0xff)],
    ['a header of ones', new Uint8Array(64).fill(0xff)],
    ['all zeroes', new Uint8Array(256)],
    ['no class', patched({ 0x08: 0xff, 0x09: 0xff, 0x0a: 0xff, 0x0b: 0xff })],
    ['no header type', patched({ 0x0e: 0xff })],
    ['what asks for patience', patched({ 0: 0x01, 1: 0x00, 2: 0xff, 3: 0xff })],
  ])('shows %s, and nothing is made of that', (_, config) => {
    const other = captured('1b36:0010');
    const { directory, of } = makeTree(nic, other);
    writeFileSync(join(of(nic), 'config'), config);
    writeFileSync(join(of(nic), 'power_state'), 'D3cold\n');
    const { functions, silent = [], warnings } = readSysfs(directory, 'tree');
    expect(functions.map(({ sbdf: address }) => address)).toEqual([other.sbdf]);
    expect(silent).toMatchObject([
      {
        sbdf: nic.sbdf,
        vendor: 0x8086,
        device: 0x10d3,
        classCode: 0x02_0000,
        config: null,
        resources: nic.resources,
        driver: nic.driver,
        problem: 'does not answer (power state D3cold)',
      },
    ]);
    expect(warnings).toEqual([silent[0]?.refusal]);
    expect(warnings[0]).toMatchObject({
      reason: 'NOT-ANSWERING',
      message: '0000:41:00.0 does not answer (power state D3cold)',
      remedy: expect.stringContaining('echo on > /sys/bus/pci/devices/0000:41:00.0/power/control') as string,
    });
  });

  it('may be one of which the kernel tells nothing else', () => {
    const { directory, of } = makeTree(nic);
    for (const name of readdirSync(of(nic)).filter((file) => file !== 'config')) rmSync(join(of(nic), name));
    writeFileSync(join(of(nic), 'config'), new Uint8Array(256).fill(0xff));
    const unknown = { vendor: null, device: null, classCode: null, resources: [], driver: null };
    expect(readSysfs(directory, 'tree').silent).toMatchObject([
      { ...unknown, problem: 'does not answer (power state unknown)' },
    ]);
  });

  it('is not a virtual function, whose IDs are ones at all times', () => {
    const { directory } = makeTree(virtual);
    expect(readSysfs(directory, 'tree')).not.toHaveProperty('silent');
  });

  it('keeps its place on the bus: another one is not reset along with it', () => {
    const bridge = captured('8086:244e');
    const secondary = bridge.config[0x19] ?? expect.unreachable();
    const one = { ...nic, sbdf: makeSbdf(0, secondary, 2, 0), resetMethods: [] };
    const two = { ...one, sbdf: makeSbdf(0, secondary, 3, 0) };
    const { directory, of } = makeTree(bridge, one, two);
    const methodsOfOne = (): readonly string[] | undefined =>
      readSysfs(directory, 'tree').functions.find((facts) => facts.sbdf === one.sbdf)?.resetMethods;
    writeFileSync(join(of(two), 'config'), new Uint8Array(256).fill(0xff));
    expect(methodsOfOne()).not.toContain('bus');
    rmSync(of(two), { recursive: true });
    expect(methodsOfOne()).toContain('bus');
  });

  it('is refused with its address by itself, and one that has gone is not on this host', () => {
    const { directory, of } = makeTree(nic);
    const sys = join(directory, 'sys');
    mkdirSync(join(sys, 'bus/pci'), { recursive: true });
    renameSync(join(directory, 'devices'), join(sys, 'bus/pci/devices'));
    const path = of(nic).replace(directory, join(sys, 'bus/pci'));
    writeFileSync(join(path, 'config'), new Uint8Array(4096).fill(0xff));
    const refusal = {
      reason: 'NOT-ANSWERING',
      message: '0000:41:00.0 does not answer (power state unknown)',
    };
    expect(() => readSysfsFunction(sys, nic.sbdf)).toThrow(expect.objectContaining(refusal));
    expect(readResetMethodsOf(sys, nic.sbdf)).toEqual(nic.resetMethods);
    rmSync(path, { recursive: true });
    for (const read of [readSysfsFunction, readResetMethodsOf]) {
      expect(() => read(sys, nic.sbdf)).toThrow(expect.objectContaining({ reason: 'NO-SUCH-FUNCTION' }));
    }
  });
});

describe('a function of this machine', () => {
  it('that cannot be read is told of all the same: it may share a page or a bus with others', () => {
    const { directory, of } = makeTree(nic);
    rmSync(join(of(nic), 'config'));
    const { functions, silent, warnings } = readSysfs(directory, 'host');
    expect(functions).toEqual([]);
    expect(silent).toMatchObject([{ sbdf: nic.sbdf, resources: nic.resources, problem: 'cannot be read' }]);
    expect(warnings).toMatchObject([{ reason: 'BAD-FILE' }]);
  });

  it('that has gone since the directory was listed is none', () => {
    const { directory } = makeTree(nic);
    symlinkSync('../gone', join(directory, 'devices/0000:42:00.0'));
    expect(readSysfs(directory, 'host')).toMatchObject({ functions: [{ sbdf: nic.sbdf }], warnings: [] });
  });
});
