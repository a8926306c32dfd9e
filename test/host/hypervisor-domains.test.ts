/** What the loopback platform makes of operations that are there for hardware and real domains. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { nativeAddon } from '../../src/host/native.ts';
import { setUp } from './loopback-setting.ts';

test.each([
  ['running', 'running'],
  ['running\n', 'running'],
  ['', 'running'],
  ['shutdown 3', 'shutdown'],
  ['dying', 'dying'],
])('a domain whose file says %j', (text, state) => {
  const { directory, hypervisor } = setUp();
  mkdirSync(directory.in('dom'));
  writeFileSync(directory.in('dom/7'), text);
  expect(hypervisor.domainState(7)).toBe(state);
  expect(hypervisor.domainState(8)).toBe('absent');
  rmSync(directory.in('dom/7'));
  expect(hypervisor.domainState(7)).toBe('absent');
});

test('a domain that cannot be looked at is not called absent', () => {
  const { directory, hypervisor } = setUp();
  mkdirSync(directory.in('dom'));
  symlinkSync('/etc/passwd', directory.in('dom/7'));
  expect(() => hypervisor.domainState(7)).toThrow(expect.objectContaining({ reason: 'HYPERCALL-FAILED' }));
});

test('there is nothing to permit and nothing to assign', () => {
  const { hypervisor } = setUp();
  const sbdf = makeSbdf(0, 3, 0, 0);
  expect([
    hypervisor.assignDevice(1, sbdf),
    hypervisor.deassignDevice(0x7ff1, sbdf),
    hypervisor.prepareMsix(sbdf),
    hypervisor.releaseMsix(sbdf),
    hypervisor.restoreMsi(sbdf),
    hypervisor.memoryPermission(1, 0n, 4096n, true),
    hypervisor.portPermission(1, 0, 1, true),
    hypervisor.irqPermission(1, 23, true),
    hypervisor.mapGsi(1, 23),
  ]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(hypervisor.hasIommu()).toBe(false);
});

test('what an error was about is one of its fields', () => {
  const { Hypervisor } = nativeAddon();
  expect(() => new Hypervisor('loopback', '/there/is/none')).toThrow(
    expect.objectContaining({ code: 'ENOENT', syscall: 'open', subject: 'loopback /there/is/none' }),
  );
});
