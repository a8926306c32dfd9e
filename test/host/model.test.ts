import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSbdf } from '../../src/address.ts';
import { extendedCapabilities, findCapability } from '../../src/config-space/capabilities.ts';
import { readImage } from '../../src/config-space/image.ts';
import { quiesce, restoreConfig, seize, verifyConfig } from '../../src/config-space/index.ts';
import { capturedFunctions } from '../../src/host/captures/index.ts';
import { ModelFault, type ModelFunction, openModel } from '../../src/host/model.ts';
import { ensureModel, listModels } from '../../src/host/model-file.ts';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { leftByDriver } from '../../src/host/power-up.ts';
import { captured, sbdf } from './support/functions.ts';
import { temporaryDirectory } from './support/tree.ts';

const nic = captured('8086:10d3');
const script = fileURLToPath(new URL('support/model-process.ts', import.meta.url));
const runScript = (...args: string[]): readonly string[] => ['--import', 'tsx', script, ...args];

const modelled = (facts: FunctionFacts, directory = temporaryDirectory()): ModelFunction => {
  ensureModel(directory, facts);
  return openModel(directory, facts.sbdf, () => Promise.resolve());
};

describe('a model', () => {
  it.each(capturedFunctions().map((facts) => [formatSbdf(facts.sbdf), facts] as const))(
    'of %s has its facts and registers as the driver left them',
    (_, facts) => {
      const fn = modelled(facts);
      const config = leftByDriver(facts.config);
      const { resetMethods } = facts;
      expect(fn.facts).toEqual({
        ...facts,
        config,
        resetMethods: resetMethods.length > 0 ? resetMethods : ['bus'],
      });
      expect(fn.length).toBe(config.length);
      expect(Uint8Array.from(config.keys(), (offset) => fn.read(offset, 1))).toEqual(config);
    },
  );

  it('stores what is written, in every width, little-endian and unsigned', () => {
    const fn = modelled(nic);
    fn.write(0x10, 4, 0xffff_ffff);
    expect(fn.read(0x10, 4)).toBe(0xffff_ffff);
    fn.write(0x12, 2, 0xfe80);
    fn.write(0x11, 1, 0x12);
    expect(fn.read(0x10, 4)).toBe(0xfe80_12ff);
    expect(fn.read(0x12, 2)).toBe(0xfe80);
    expect(fn.read(0x11, 1)).toBe(0x12);
    fn.write(0xffc, 4, -2);
    expect(fn.read(0xffc, 4)).toBe(0xffff_fffe);
  });

  it('is memory but for the bits that a one clears', () => {
    const fn = modelled(captured('8086:2415'));
    const access = fc.constantFrom(1, 2, 4).chain((size) =>
      fc.record({
        size: fc.constant(size),
        offset: fc.integer({ min: 0x40 / size, max: 256 / size - 1 }).map((index) => index * size),
        value: fc.nat({ max: 0xffff_ffff }),
      }),
    );
    const memory = new DataView(Uint8Array.from({ length: 256 }, (_, offset) => fn.read(offset, 1)).buffer);
    fc.assert(
      fc.property(fc.array(access), (accesses) => {
        for (const { offset, size, value } of accesses) {
          fn.write(offset, size, value);
          for (let byte = 0; byte < size; byte++) memory.setUint8(offset + byte, value >>> (8 * byte));
        }
        for (let offset = 0; offset < 256; offset += 4) {
          expect(fn.read(offset, 4)).toBe(memory.getUint32(offset, true));
        }
      }),
    );
  });

  it('clears status bits that are written as ones, and no others', () => {
    const fn = modelled(nic);
    fn.poke(0x06, 2, 0xf910);
    fn.write(0x06, 2, 0x8000);
    expect(fn.read(0x06, 2)).toBe(0x7900);
    fn.write(0x04, 4, 0xffff_0007);
    expect(fn.read(0x04, 4)).toBe(0x06ff_0007);
  });

  it('is one to all who open it', async () => {
    const directory = temporaryDirectory();
    const fn = modelled(nic, directory);
    const other = openModel(directory, nic.sbdf);
    other.write(0x3c, 1, 0x17);
    expect(fn.read(0x3c, 1)).toBe(0x17);
    fn.write(0x3c, 1, 0x18);
    const load = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(script)})))`;
    const worker = new Worker(load, { eval: true, argv: ['read', directory, '41:00.0'], stdout: true });
    const [, output] = await Promise.all([once(worker, 'exit'), worker.stdout.setEncoding('utf8').toArray()]);
    expect(output.join('')).toBe('18');
  });

  it('outlives a process that is killed', () => {
    const directory = temporaryDirectory();
    modelled(nic, directory).close();
    const { signal } = spawnSync(process.execPath, runScript('write', directory, '41:00.0'));
    expect(signal).toBe('SIGKILL');
    ensureModel(directory, nic);
    const fn = openModel(directory, nic.sbdf);
    expect(fn.read(0x3c, 1)).toBe(0x2a);
    expect(fn.faults).toBe(ModelFault.resetFails);
  });

  it('is made once, and whole, however many try at once', async () => {
    const directory = temporaryDirectory();
    const makers = Array.from({ length: 4 }, () => spawn(process.execPath, runScript('ensure', directory)));
    const codes = await Promise.all(makers.map((maker) => once(maker, 'exit')));
    expect(codes.map(([code]) => code as number)).toEqual([0, 0, 0, 0]);
    expect(readdirSync(join(directory, 'state', 'model'))).toEqual(['0000:41:00.0']);
    expect(openModel(directory, nic.sbdf).facts.device).toBe(0x10d3);
  });

  it('of a function read without root has a header and no more', () => {
    const fn = modelled({ ...nic, config: nic.config.slice(0, 64) });
    expect(fn.length).toBe(256);
    expect(fn.read(0x06, 2) & 0x10).toBe(0);
    expect(fn.read(0x34, 1)).toBe(0);
    expect(fn.read(0x40, 4)).toBe(0);
    expect(fn.read(0x00, 4)).toBe(0x10d3_8086);
  });
});

describe('the directory of models', () => {
  it('lists addresses only', () => {
    const directory = temporaryDirectory();
    expect(listModels(directory)).toEqual([]);
    modelled(nic, directory);
    writeFileSync(join(directory, 'state', 'model', '0000:41:00.0.123.abc'), 'being made');
    expect(listModels(directory)).toEqual([nic.sbdf]);
  });

  it('says which function is not there', () => {
    expect(() => openModel(temporaryDirectory(), sbdf('01:02.3'))).toThrow(
      expect.objectContaining({
        reason: 'NO-SUCH-FUNCTION',
        message: expect.stringContaining('0000:01:02.3'),
      }),
    );
  });

  it('does not take another function for the one it has', () => {
    const directory = temporaryDirectory();
    modelled(nic, directory);
    expect(() => ensureModel(directory, { ...captured('1b36:0010'), sbdf: nic.sbdf })).toThrow(
      expect.objectContaining({ reason: 'BAD-FILE' }),
    );
    expect(openModel(directory, nic.sbdf).facts.device).toBe(0x10d3);
  });

  it.each([
    ['empty', (path: string) => truncateSync(path, 0)],
    ['cut off', (path: string) => truncateSync(path, 0x2800)],
    ['something else', (path: string) => writeFileSync(path, Buffer.alloc(0x3000, 'x'))],
    ['of another version', (path: string) => writeFileSync(path, Buffer.alloc(0x3000, 'pcimodel\x02\0\0\0'))],
  ])('refuses a file that is %s', (_, damage) => {
    const directory = temporaryDirectory();
    modelled(nic, directory).close();
    damage(join(directory, 'state', 'model', '0000:41:00.0'));
    for (const use of [() => openModel(directory, nic.sbdf), () => ensureModel(directory, nic)]) {
      expect(use).toThrow(expect.objectContaining({ reason: 'BAD-FILE' }));
    }
  });

  it('must be one that can be written', () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'state'), 'a file');
    expect(() => ensureModel(directory, nic)).toThrow(expect.objectContaining({ reason: 'BAD-DIRECTORY' }));
    mkdirSync(join(directory, 'other'));
    expect(() => ensureModel(join(directory, 'other'), nic)).not.toThrow();
  });
});

describe('the way from D3hot to D0', () => {
  const power = 0xcc;

  it('leaves power-up values', () => {
    const fn = modelled(nic);
    fn.write(power, 2, 3);
    expect(fn.read(0x10, 4)).not.toBe(0);
    fn.write(power, 1, 0);
    expect([fn.read(0x10, 4), fn.read(0x04, 2), fn.read(power, 2) & 3, fn.resets]).toEqual([0, 0, 0, 0]);
  });

  it.each([
    ['of a function that says No_Soft_Reset', 0x000b],
    ['when it was D2', 0x0002],
  ])('leaves everything as it is %s', (_, from) => {
    const fn = modelled(nic);
    const before = fn.read(0x10, 4);
    fn.write(power, 2, from);
    fn.write(power, 2, from & ~3);
    expect(fn.read(0x10, 4)).toBe(before);
  });
});

describe('a reset', () => {
  it('leaves power-up values, whatever was written before', async () => {
    const fn = modelled(nic);
    for (let offset = 0x40; offset < 0x100; offset += 4) fn.write(offset, 4, 0xdead_beef);
    fn.write(0x04, 2, 0x0507);
    await fn.reset('flr');
    expect(fn.read(0x04, 2)).toBe(0);
    expect(fn.read(0x10, 4)).toBe(0);
    expect(fn.read(0x18, 4)).toBe(1);
    expect(fn.read(0x3c, 2)).toBe(0x0100);
    expect(fn.read(0xa0, 4)).toBe(0x0004_0011);
    expect(fn.read(0x50, 4)).toBe(0);
    expect(fn.resets).toBe(1);
  });

  it.each([
    ['flr', 100],
    ['af_flr', 100],
    ['pm', 20],
    ['bus', 102],
    ['device_specific', 102],
  ])('by %s takes %i ms, and touches the registers first', async (method, milliseconds) => {
    const directory = temporaryDirectory();
    ensureModel(directory, nic);
    const waited: number[] = [];
    const fn: ModelFunction = openModel(directory, nic.sbdf, async (time) => {
      waited.push(time);
      expect(fn.read(0x10, 4)).toBe(0);
      await Promise.resolve();
    });
    await fn.reset(method);
    expect(waited).toEqual([milliseconds]);
  });

  it('really takes its time unless told otherwise', async () => {
    const directory = temporaryDirectory();
    ensureModel(directory, nic);
    const start = performance.now();
    await openModel(directory, nic.sbdf).reset('pm');
    expect(performance.now() - start).toBeGreaterThan(15);
  });

  it('can be made to fail, by whoever has the model open', async () => {
    const directory = temporaryDirectory();
    const fn = modelled(nic, directory);
    fn.write(0x3c, 1, 0x2a);
    openModel(directory, nic.sbdf).faults = ModelFault.resetFails;
    await expect(fn.reset('flr')).rejects.toMatchObject({ reason: 'RESET-FAILED' });
    expect(fn.read(0x3c, 1)).toBe(0x2a);
    fn.faults = ModelFault.none;
    await fn.reset('flr');
    expect(fn.read(0x3c, 1)).toBe(0);
    expect(fn.resets).toBe(2);
  });
});

describe('reset and restore', () => {
  it.each(capturedFunctions().map((facts) => [formatSbdf(facts.sbdf), facts] as const))(
    'bring %s back as it was seized, but for messages and virtual functions',
    async (_, facts) => {
      const fn = modelled(facts);
      const { config } = seize(fn, facts);
      quiesce(fn);
      await fn.reset('bus');
      expect(verifyConfig(fn, config).length > 0).toBe(facts.physicalFunction === null);
      restoreConfig(fn, config);
      expect(verifyConfig(fn, config)).toEqual([]);

      const expected = config.slice();
      const msi = findCapability(config, 0x05);
      if (msi !== undefined) expected.fill(0, msi + 4, msi + 14);
      const sriov = extendedCapabilities(config).find(({ id }) => id === 0x10)?.offset;
      if (sriov !== undefined) expected.fill(0, sriov + 8, sriov + 10).fill(0, sriov + 16, sriov + 18);
      expect(readImage(fn)).toEqual(expected);
    },
  );
});

describe('a function that was pulled', () => {
  it('reads as ones, keeps nothing, and does not come back from a reset', async () => {
    const fn = modelled(nic);
    fn.faults = ModelFault.absent;
    expect([fn.read(0, 1), fn.read(0, 2), fn.read(0, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
    fn.write(0x3c, 1, 0x2a);
    await expect(fn.reset('bus')).rejects.toMatchObject({
      reason: 'RESET-FAILED',
      message: expect.stringContaining('did not come back') as string,
    });
    fn.faults = ModelFault.none;
    expect(fn.read(0x3c, 1)).toBe(0x0a);
  });

  it('looks like one that was closed', () => {
    const directory = temporaryDirectory();
    const fn = modelled(nic, directory);
    fn.close();
    fn.close();
    fn.write(0x3c, 1, 0x2a);
    expect(fn.read(0x3c, 1)).toBe(0xff);
    expect(openModel(directory, nic.sbdf).read(0x3c, 1)).toBe(0x0a);
  });
});
