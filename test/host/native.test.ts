import { writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { PcibackError } from '../../src/errors.ts';
import { load, nativeAddon } from '../../src/host/native.ts';
import { addonPath, LoopbackDirectory } from './loopback-setting.ts';

function refusal(candidates: readonly string[]): PcibackError {
  try {
    load(candidates);
  } catch (error) {
    if (error instanceof PcibackError) return error;
  }
  return expect.unreachable('it loaded');
}

describe('loading', () => {
  test('the addon is loaded once for each thread', () => {
    expect(nativeAddon()).toBe(nativeAddon());
    expect(Object.keys(load(['/nonexistent.node', addonPath]))).toContain('mapFile');
  });

  test('a missing addon says what to do', () => {
    const error = refusal(['/nonexistent/pciback.node']);
    expect(error.reason).toBe('NO-NATIVE-ADDON');
    expect(error.message).toContain('/nonexistent/pciback.node');
    expect(error.remedy).toContain('npm rebuild');
    expect(error.exitCode).toBe(3);
  });

  test('an addon that is none says why it does not load', () => {
    const directory = new LoopbackDirectory();
    writeFileSync(directory.in('broken.node'), 'no ELF file');
    const error = refusal([directory.in('broken.node')]);
    expect(error.reason).toBe('NO-NATIVE-ADDON');
    expect(error.message).toContain('does not load');
  });

  test('several threads have it at once, and again after others have ended', async () => {
    const code = `require('node:worker_threads').parentPort.postMessage(Object.keys(require(${JSON.stringify(addonPath)})))`;
    for (let round = 0; round < 3; round++) {
      const workers = Array.from({ length: 4 }, () => new Worker(code, { eval: true }));
      const exports = await Promise.all(workers.map((worker) => once(worker, 'message')));
      for (const [names] of exports) expect(names).toEqual(Object.keys(nativeAddon()));
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});

describe('misuse', () => {
  test('methods refuse objects that are not theirs', () => {
    const { FrontRing, Hypervisor } = nativeAddon();
    const forged = Object.create(FrontRing.prototype) as InstanceType<typeof FrontRing>;
    expect(() => forged.notify()).toThrow('Illegal invocation');
    expect(() => FrontRing.prototype.close.call(new Hypervisor('loopback', '/tmp'))).toThrow(
      'Illegal invocation',
    );
  });

  test('a platform that does not exist is refused', () => {
    const { Hypervisor } = nativeAddon();
    expect(() => new Hypervisor('vmware', '/')).toThrow('ENOSYS');
  });
});
