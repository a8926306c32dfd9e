import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { HostRoot } from '../../src/host/host-root.ts';
import {
  awaitKernel,
  kernelBinds,
  kernelKnows,
  kernelServes,
  takeFromKernel,
} from '../../src/host/kernel-backend.ts';

let root: HostRoot;
let sysfs: string;
let written: string[];
/** The effect of a write to an attribute. */
let onWrite: () => void;
beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), 'pciback-xen-bus-'));
  written = [];
  onWrite = () => undefined;
  root = {
    sysfs,
    proc: '/nowhere',
    write: async (path, text) => {
      written.push(`${path.slice(sysfs.length)} ${text}`);
      onWrite();
    },
  };
  onTestFinished(() => rmSync(sysfs, { recursive: true }));
});

const device = (): string => join(sysfs, 'bus/xen-backend/devices/pci-5-0');
const load = (name = 'xen-pciback'): void =>
  void mkdirSync(join(sysfs, 'bus/xen-backend/drivers', name), { recursive: true });
const bind = (): void => {
  mkdirSync(device(), { recursive: true });
  symlinkSync('../../drivers/xen-pciback', join(device(), 'driver'));
  load();
};

test.each(['xen-pciback', 'pciback'])('a driver that is called %s binds to what comes', (name) => {
  expect(kernelBinds(root)).toBe(false);
  load('vbd');
  expect(kernelBinds(root)).toBe(false);
  load(name);
  expect(kernelBinds(root)).toBe(true);
});

test('a device without a driver is known, and served by nobody', () => {
  expect([kernelKnows(root, 5), kernelServes(root, 5)]).toEqual([false, false]);
  mkdirSync(device(), { recursive: true });
  expect([kernelKnows(root, 5), kernelServes(root, 5)]).toEqual([true, false]);
  bind();
  expect([kernelKnows(root, 5), kernelServes(root, 5)]).toEqual([true, true]);
  expect([kernelKnows(root, 6), kernelServes(root, 6)]).toEqual([false, false]);
});

test('nobody waits for a driver that is not loaded', async () => {
  await awaitKernel(root, 5, 1e6);
});

test('the driver is waited for until it has bound', async () => {
  load();
  let isOver = false;
  const bound = awaitKernel(root, 5, 1e6).then(() => (isOver = true));
  await expect.poll(() => kernelBinds(root)).toBe(true);
  expect(isOver).toBe(false);
  bind();
  await bound;
});

test('and no longer than it needs when it does not', async () => {
  load();
  await awaitKernel(root, 5, 20);
  expect(kernelServes(root, 5)).toBe(false);
});

test('it is unbound by its name for the device', async () => {
  bind();
  await takeFromKernel(root, 5);
  expect(written).toEqual(['/bus/xen-backend/devices/pci-5-0/driver/unbind pci-5-0']);
});

test('a driver that has let go by itself meanwhile is no failure, one that does not is', async () => {
  bind();
  onWrite = () => {
    throw new Error('EBUSY');
  };
  await expect(takeFromKernel(root, 5)).rejects.toMatchObject({ reason: 'KERNEL-BACKEND' });
  onWrite = () => {
    rmSync(dirname(join(device(), 'driver')), { recursive: true });
    throw new Error('ENODEV');
  };
  await takeFromKernel(root, 5);
});
