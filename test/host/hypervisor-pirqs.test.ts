import { symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import { domid, LoopbackDirectory, setUp } from './loopback-setting.ts';

describe('pirqs', () => {
  const sbdf = makeSbdf(0, 3, 0, 0);
  const map = (hypervisor: Hypervisor, guest: number): number =>
    hypervisor.mapMsi(guest, sbdf, 0, 0xfeb0_0000n);

  test('are numbered from 0x37, next fit, for each domain', () => {
    const { hypervisor } = setUp();
    expect([map(hypervisor, 1), map(hypervisor, 1), map(hypervisor, 2)]).toEqual([0x37, 0x38, 0x37]);
    expect(hypervisor.unmapPirq(1, 0x37)).toBe(0);
    expect(map(hypervisor, 1)).toBe(0x39);
  });

  test('a domain holds at most 1024', () => {
    const { hypervisor } = setUp();
    const held = Array.from({ length: 1024 }, () => map(hypervisor, 1));
    expect(new Set(held).size).toBe(1024);
    expect(map(hypervisor, 1)).toBe(-28);
    expect(map(hypervisor, 2)).toBe(0x37);
    expect(hypervisor.unmapPirq(1, 0x100)).toBe(0);
    expect(map(hypervisor, 1)).toBeGreaterThan(0);
    expect(map(hypervisor, 1)).toBe(-28);
  });

  test('numbers fit the 16 bits of the wire and none is lost, however often they are mapped', () => {
    const { hypervisor } = setUp();
    const kept = map(hypervisor, 1);
    for (let i = 0; i < 140_000; i++) {
      const pirq = map(hypervisor, 1);
      if (pirq < 0x37 || pirq > 0xffff || pirq === kept) expect.unreachable(`pirq ${pirq} in round ${i}`);
      hypervisor.unmapPirq(1, pirq);
    }
  });

  test('what is not held cannot be given back', () => {
    const { hypervisor } = setUp();
    expect(hypervisor.unmapPirq(1, 0x37)).toBe(-22);
    map(hypervisor, 1);
    expect(hypervisor.unmapPirq(2, 0x37)).toBe(-22);
    expect(hypervisor.unmapPirq(1, 0x37)).toBe(0);
    expect(hypervisor.unmapPirq(1, 0x37)).toBe(-22);
  });

  test('every connection to one directory sees the same ones, and one to another directory does not', () => {
    const { directory, hypervisor } = setUp();
    symlinkSync(directory.path, directory.in('itself'));
    const second = Hypervisor.loopback(directory.in('itself/.'));
    expect(map(hypervisor, 1)).toBe(0x37);
    expect(map(second, 1)).toBe(0x38);
    expect(second.unmapPirq(1, 0x37)).toBe(0);
    expect(map(Hypervisor.loopback(new LoopbackDirectory().path), 1)).toBe(0x37);
  });

  test('what a predecessor mapped can be claimed', () => {
    const { hypervisor } = setUp();
    expect(hypervisor.claimPirq(1, 0x40)).toBe(0);
    expect(hypervisor.claimPirq(1, 0x40)).toBe(0);
    expect(map(hypervisor, 1)).toBe(0x41);
    expect(hypervisor.unmapPirq(1, 0x40)).toBe(0);
    expect(hypervisor.claimPirq(1, 0x36)).toBe(-22);
    expect(hypervisor.claimPirq(1, 0x10000)).toBe(-22);
  });

  test('all go with the domain', () => {
    const { hypervisor } = setUp();
    map(hypervisor, 1);
    hypervisor.releasePirqs(1);
    hypervisor.releasePirqs(2);
    expect(hypervisor.unmapPirq(1, 0x37)).toBe(-22);
    expect(map(hypervisor, 1)).toBe(0x37);
  });

  test('an interrupt reaches a guest that has bound it, and is lost otherwise', () => {
    const { directory, hypervisor, front } = setUp();
    expect(hypervisor.raisePirq(domid, 0x37)).toBe(false);
    front.bindPirq(0x37);
    expect(hypervisor.raisePirq(domid, 0x37)).toBe(true);
    expect(hypervisor.raisePirq(domid, 0x37)).toBe(true);
    expect(hypervisor.raisePirq(domid, 0x38)).toBe(false);
    expect(front.pirqEvents(0x37)).toBe(2);
    symlinkSync(directory.in(`evt/${domid}/pirq55`), directory.in(`evt/${domid}/pirq56`));
    writeFileSync(directory.in(`evt/${domid}/pirq57`), '');
    expect(hypervisor.raisePirq(domid, 56)).toBe(false);
    expect(hypervisor.raisePirq(domid, 57)).toBe(false);
    expect(directory.read(`evt/${domid}/pirq57`)).toBe('');
    front.unbindPirq(0x37);
    expect(hypervisor.raisePirq(domid, 0x37)).toBe(false);
  });

  test('what is no vector is refused', () => {
    const { hypervisor } = setUp();
    expect(() => hypervisor.mapMsi(1, sbdf, 2048, 0n)).toThrow('entry must be an integer from -1 to 2047');
    expect(() => hypervisor.mapMsi(1, sbdf, 0, -1n)).toThrow('tableBase must be a bigint');
  });
});
