import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Hypervisor } from '../../src/host/hypervisor.ts';
import { quarantineDomid } from '../../src/host/permissions.ts';
import { XenPlatform } from '../../src/host/xen.ts';
import { FakeHost } from './support/fake-host.ts';
import { captured } from './support/functions.ts';

const nic = { ...captured('8086:10d3'), driver: 'e1000e' };
const [EIO, EBUSY, ENODEV] = [-5, -16, -19];
const hostDomid = 0;

/** What Xen knows of one function: whose it is, and whether its MSI-X table is known (xen/drivers/passthrough/pci.c, msi.c). */
class FakeXen {
  owner = hostDomid;
  prepared = false;
  readonly asked: string[] = [];

  hasIommu = (): boolean => true;
  prepareMsix = (): number => this.#msix('prepare', true);
  releaseMsix = (): number => this.#msix('release', false);

  assignDevice = (domid: number): number => {
    this.asked.push(`assign ${domid}`);
    if (this.owner !== hostDomid && this.owner !== quarantineDomid) return EBUSY;
    this.owner = domid;
    return 0;
  };

  deassignDevice = (domid: number): number => {
    this.asked.push(`deassign ${domid}`);
    if (this.owner !== domid) return ENODEV;
    this.owner = domid === quarantineDomid ? hostDomid : quarantineDomid;
    return 0;
  };

  #msix(what: string, prepared: boolean): number {
    this.asked.push(what);
    if (this.prepared === prepared) return EBUSY;
    this.prepared = prepared;
    return 0;
  }
}

function machine(
  stub: 'pci-stub' | 'pciback',
  facts: typeof nic | (Omit<typeof nic, 'driver'> & { driver: null }) = nic,
) {
  const host = new FakeHost(facts);
  host.load(stub, { knows: false });
  const xen = new FakeXen();
  const platform = new XenPlatform({ directory: '/nowhere' }, xen as unknown as Hypervisor, host);
  return { host, xen, platform };
}

test('without an IOMMU nothing is taken, unless that is meant', async () => {
  const { host, xen, platform } = machine('pci-stub');
  xen.hasIommu = () => false;
  await expect(platform.takeFromHost(nic, true)).rejects.toMatchObject({ reason: 'NO-IOMMU' });
  expect([host.driver, host.writes, xen.asked]).toEqual(['e1000e', [], []]);
  const options = { directory: '/nowhere', withoutIommu: true };
  await new XenPlatform(options, xen as unknown as Hypervisor, host).takeFromHost(nic, true);
  expect(host.driver).toBe('pci-stub');
});

test('what dom0 uses is not taken, unless it is forced', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const tpm = join(realpathSync(host.directory), 'tpm/tpm0');
  mkdirSync(tpm, { recursive: true });
  mkdirSync(join(host.sysfs, 'class/tpm'), { recursive: true });
  symlinkSync(join(host.sysfs, 'class/tpm'), join(tpm, 'subsystem'));
  await expect(platform.takeFromHost(nic, false)).rejects.toMatchObject({ reason: 'HOST-USES-IT' });
  expect([host.driver, host.writes, xen.asked]).toEqual(['e1000e', [], []]);
  await platform.takeFromHost(nic, true);
  expect(host.driver).toBe('pci-stub');
});

test('a function that somebody has taken from its stub is assigned to nobody', async () => {
  const { host, xen, platform } = machine('pci-stub');
  await platform.takeFromHost(nic, true);
  host.unload('pci-stub');
  xen.asked.length = 0;
  const resources = { sbdf: nic.sbdf, resources: [], irq: 0 };
  expect(() => platform.assign(7, resources, [])).toThrow(expect.objectContaining({ reason: 'NOT-HIDDEN' }));
  expect(xen.asked).toEqual([]);
});

const inUse = { reason: 'FUNCTION-IN-USE' };

test('a function is enabled, told to Xen and quarantined, and goes back in the reverse order', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const taken = await platform.takeFromHost(nic, true);
  expect(xen.asked).toEqual(['prepare', `assign ${quarantineDomid}`]);
  expect(host.state).toMatchObject({ driver: 'pci-stub', enable: '1' });
  xen.asked.length = 0;
  await platform.returnToHost(taken);
  expect(xen.asked.slice(-2)).toEqual([`deassign ${quarantineDomid}`, 'release']);
  expect(xen).toMatchObject({ owner: hostDomid, prepared: false });
  expect(host.driver).toBe('e1000e');
});

test('what the kernel’s stub tells Xen of the MSI-X table is left to it', async () => {
  const { xen, platform } = machine('pciback');
  await platform.returnToHost(await platform.takeFromHost(nic, true));
  expect(xen.asked.filter((call) => /prepare|release/.test(call))).toEqual([]);
});

test('a function that a guest has by other hands stays its and its stub’s', async () => {
  const { host, xen, platform } = machine('pciback', { ...nic, driver: null });
  host.give('pciback');
  xen.owner = 7;
  await expect(platform.takeFromHost({ ...nic, driver: 'pciback' }, true)).rejects.toMatchObject(inUse);
  expect(host.driver).toBe('pciback');
  expect(xen.owner).toBe(7);
  // Not even for another guest that lists it.
  await expect(platform.takeFromHost({ ...nic, driver: 'pciback' }, true, 8)).rejects.toMatchObject(inUse);
  expect(xen.owner).toBe(7);
});

test('a function that a toolstack has given to the guest for which it is taken is quarantined until that one gets it', async () => {
  const { host, xen, platform } = machine('pciback', { ...nic, driver: null });
  host.give('pciback');
  xen.owner = 7;
  await platform.takeFromHost({ ...nic, driver: 'pciback' }, false, 7);
  expect(xen.owner).toBe(quarantineDomid);
});

test('a hidden function that another toolstack has given to a guest is neither reset nor given back', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const taken = await platform.takeFromHost(nic, true);
  xen.owner = 7;
  expect(() => platform.requireUnassigned(nic.sbdf)).toThrow(expect.objectContaining(inUse));
  await expect(platform.returnToHost(taken)).rejects.toMatchObject(inUse);
  expect(host.driver).toBe('pci-stub');
  expect(xen).toMatchObject({ owner: 7, prepared: true });
});

test('a function that Xen does not take out of quarantine is not given to a driver that could do nothing with it', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const taken = await platform.takeFromHost(nic, true);
  xen.deassignDevice = () => EIO;
  await expect(platform.returnToHost(taken)).rejects.toMatchObject({ reason: 'HYPERCALL-FAILED' });
  expect(host.driver).toBe('pci-stub');
  expect(xen).toMatchObject({ owner: quarantineDomid, prepared: true });
});

test('a function that Xen does not take from a guest is told of; one that the guest has lost already is not', async () => {
  const { xen, platform } = machine('pci-stub');
  await platform.takeFromHost(nic, true);
  expect(() => platform.deassign(7, nic.sbdf)).not.toThrow();
  xen.deassignDevice = () => EIO;
  expect(() => platform.deassign(7, nic.sbdf)).toThrow(
    expect.objectContaining({ reason: 'HYPERCALL-FAILED' }),
  );
});

test('what a process that was killed took back from Xen is told again, and not told twice', async () => {
  for (const lost of [true, false]) {
    const { xen, platform } = machine('pci-stub');
    const { facts } = await platform.takeFromHost(nic, true);
    if (lost) Object.assign(xen, { owner: hostDomid, prepared: false });
    platform.hold(facts);
    expect(xen).toMatchObject({ owner: quarantineDomid, prepared: true });
  }
});

test('what a guest kept of a function is taken before it is looked after again', async () => {
  const { xen, platform } = machine('pci-stub');
  await platform.takeFromHost(nic, true);
  xen.owner = 7;
  platform.requireUnassigned(nic.sbdf, 7);
  expect(xen.owner).toBe(quarantineDomid);
});

test('a function that its stub does not let go of stays ready for guests', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const taken = await platform.takeFromHost(nic, true);
  host.failures.set(host.writes.length, 'EIO');
  await expect(platform.returnToHost(taken)).rejects.toMatchObject({ reason: 'DRIVER-BINDING' });
  expect(host.driver).toBe('pci-stub');
  expect(xen).toMatchObject({ owner: quarantineDomid, prepared: true });
});

test('a function that does not answer, and that Xen therefore calls busy, is not said to be another domain’s', async () => {
  const { host, xen, platform } = machine('pci-stub');
  await platform.takeFromHost(nic, true);
  writeFileSync(join(host.directory, 'config'), new Uint8Array(4096).fill(0xff));
  expect(() => platform.requireUnassigned(nic.sbdf)).not.toThrow();
  xen.assignDevice = () => EBUSY;
  expect(() => platform.requireUnassigned(nic.sbdf)).toThrow(
    expect.objectContaining({ reason: 'NOT-ANSWERING' }),
  );
});

test('a function that falls silent while it is taken goes back to its driver', async () => {
  const { host, platform } = machine('pci-stub');
  host.afterWrite = (written) => {
    if (written.startsWith('drivers_probe'))
      writeFileSync(join(host.directory, 'config'), new Uint8Array(4096).fill(0xff));
  };
  await expect(platform.takeFromHost(nic, true)).rejects.toMatchObject({ reason: 'NOT-ANSWERING' });
  expect(host.driver).toBe('e1000e');
});

test('a function is moved to the stub that the toolstack looks for, and reaches no memory on the way', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const { facts } = await platform.takeFromHost(nic, true);
  expect(await platform.changeStub(facts)).toBeNull();
  host.load('pciback', { knows: false });
  xen.asked.length = 0;
  expect(await platform.changeStub(facts)).toEqual({ from: 'pci-stub', to: 'pciback' });
  expect(host.driver).toBe('pciback');
  // The kernel's stub tells Xen of the MSI-X table itself.
  expect(xen).toMatchObject({ owner: quarantineDomid, prepared: false });
  expect(xen.asked.filter((call) => call.startsWith('deassign'))).toEqual([]);
});

test('a function that is not moved is held as before; one that another toolstack has given to a guest stays', async () => {
  const { host, xen, platform } = machine('pci-stub');
  const { facts } = await platform.takeFromHost(nic, true);
  host.load('pciback', { refuses: 'EIO' });
  await expect(platform.changeStub(facts)).rejects.toMatchObject({ reason: 'DRIVER-BINDING' });
  expect(host.driver).toBe('pci-stub');
  expect(xen).toMatchObject({ owner: quarantineDomid, prepared: true });
  xen.owner = 7;
  await expect(platform.changeStub(facts)).rejects.toMatchObject(inUse);
  expect(xen).toMatchObject({ owner: 7, prepared: true });
});

test('what pci-stub keeps for nobody in particular is taken with the stub that the toolstack looks for', async () => {
  const { host, platform } = machine('pci-stub', { ...nic, driver: null });
  host.give('pci-stub');
  host.load('pciback', { knows: false });
  await platform.takeFromHost({ ...nic, driver: 'pci-stub' }, false);
  expect(host.driver).toBe('pciback');
});

test('what is at an address is told by its IDs, and that nothing is', () => {
  const { host, platform } = machine('pci-stub');
  expect(platform.identityOf(nic.sbdf)).toEqual({ vendor: nic.vendor, device: nic.device });
  expect(platform.functionsBelow(nic.sbdf)).toEqual([]);
  host.unplug();
  expect(platform.identityOf(nic.sbdf)).toBeNull();
});
