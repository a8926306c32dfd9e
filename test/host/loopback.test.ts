import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FunctionFacts } from '../../src/host/platform.ts';
import { LoopbackPlatform } from '../../src/host/loopback.ts';
import { ensureModel } from '../../src/host/model-file.ts';
import { openPlatform } from '../../src/host/open-platform.ts';
import { captured, sbdf } from './support/functions.ts';
import { temporaryDirectory } from './support/tree.ts';

const nic = captured('8086:10d3');
const xhci = captured('1b36:000d');
const ac97 = captured('8086:2415');
const domid = 5;

/** A directory as `serve` makes it, with these functions and one domain. */
function loopback(...functions: readonly FunctionFacts[]): string {
  const directory = temporaryDirectory();
  for (const below of ['dom', 'gnt', 'evt/0', `evt/${domid}`, 'state']) {
    mkdirSync(join(directory, below), { recursive: true });
  }
  for (const domain of [0, domid]) writeFileSync(join(directory, 'dom', String(domain)), 'running');
  for (const facts of functions) ensureModel(directory, facts);
  return directory;
}

function platformWith(...functions: readonly FunctionFacts[]): LoopbackPlatform {
  const platform = new LoopbackPlatform(loopback(...functions), () => Promise.resolve());
  onTestFinished(() => platform.close());
  return platform;
}

describe('the loopback platform', () => {
  it('opens models, and resets them at the pace it was given', async () => {
    const platform = platformWith(nic);
    const fn = platform.openFunction(nic.sbdf);
    expect(fn.read(0, 4)).toBe(0x10d3_8086);
    await fn.reset('bus');
    expect(fn.read(0x10, 4)).toBe(0);
    expect(() => platform.openFunction(xhci.sbdf)).toThrow(
      expect.objectContaining({ reason: 'NO-SUCH-FUNCTION' }),
    );
  });

  it('makes pirqs for vectors that exist, each another one', () => {
    const platform = platformWith(nic);
    const table = 0xfe28_0000n;
    const pirqs = [-1, 0, 1, 4].map((entry) =>
      platform.mapMsi(domid, nic.sbdf, entry, entry < 0 ? 0n : table),
    );
    for (const pirq of pirqs) expect(pirq).toBeGreaterThan(0);
    expect(new Set(pirqs).size).toBe(4);
    for (const pirq of pirqs) platform.unmapPirq(domid, pirq);
  });

  it.each([
    ['an entry past the table', nic, 5, 0xfe28_0000n, -22],
    ['another base than the BAR of the table', nic, 0, 0xfe24_0000n, -22],
    ['no base', nic, 0, 0n, -22],
    ['MSI of a function without it', xhci, -1, 0n, -19],
    ['MSI-X of a function without it', ac97, 0, 0n, -19],
  ])('refuses %s as Xen does', (_, facts, entry, base, errno) => {
    expect(platformWith(facts).mapMsi(domid, facts.sbdf, entry, base)).toBe(errno);
  });

  it('keeps a record for each function that outlives the platform', () => {
    const directory = loopback();
    const first = new LoopbackPlatform(directory);
    new Uint8Array(first.mapRecord(nic.sbdf))[7] = 42;
    first.close();
    const second = new LoopbackPlatform(directory);
    onTestFinished(() => second.close());
    const record = second.mapRecord(nic.sbdf);
    expect(record.byteLength).toBe(8192);
    expect(new Uint8Array(record)[7]).toBe(42);
    expect(new Uint8Array(second.mapRecord(xhci.sbdf))[7]).toBe(0);
    expect(statSync(join(directory, 'state', 'record', '0000:41:00.0')).size).toBe(8192);
  });

  it('says when there is no room for records', () => {
    const directory = loopback();
    writeFileSync(join(directory, 'state', 'record'), 'a file');
    const platform = new LoopbackPlatform(directory);
    onTestFinished(() => platform.close());
    expect(() => platform.mapRecord(sbdf('00:00.0'))).toThrow(
      expect.objectContaining({ reason: 'BAD-DIRECTORY' }),
    );
  });

  it('refuses pages that nobody granted', () => {
    const platform = platformWith();
    expect(() => platform.openRing(domid, 8, 2, () => {})).toThrow(
      expect.objectContaining({ reason: 'GRANT-FAILED' }),
    );
  });
});

describe('openPlatform', () => {
  it('opens what a worker is told to open', () => {
    const platform = openPlatform({ kind: 'loopback', directory: loopback() });
    onTestFinished(() => platform.close());
    expect(platform.kind).toBe('loopback');
    expect(() => openPlatform({ kind: 'loopback', directory: '/nonexistent' })).toThrow(
      expect.objectContaining({ reason: 'BAD-DIRECTORY' }),
    );
  });

  it('refuses Xen where there is none', () => {
    expect(() => openPlatform({ kind: 'xen', directory: loopback() })).toThrow(
      expect.objectContaining({ reason: 'NO-XEN' }),
    );
  });
});
