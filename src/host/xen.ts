import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { formatSbdf, type Sbdf } from '../address.ts';
import { CapabilityId, Msix } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { wordAt } from '../config-space/image.ts';
import { PcibackError } from '../errors.ts';
import { isWriteUnderWay, writeUnderWay } from './attribute-writer.ts';
import {
  bindStub,
  changeStub,
  driverOf,
  requireStub,
  type StubBinding,
  type StubChange,
  stubChange,
  unbindStub,
} from './driver-binding.ts';
import { functionDirectory, type HostRoot, linuxHost } from './host-root.ts';
import { Hypervisor } from './hypervisor.ts';
import { functionsThatVanishWith, refuseInUse, usersOf } from './in-use.ts';
import { awaitKernel, kernelBinds, kernelKnows, kernelServes, takeFromKernel } from './kernel-backend.ts';
import {
  assign,
  assignedToAnother,
  deassign,
  deassignDevice,
  hypercallFailed,
  quarantineDomid,
  revoke,
} from './permissions.ts';
import {
  type Belongings,
  type DomainState,
  type FunctionFacts,
  type HostFunction,
  type Platform,
  type Ring,
  type Taken,
  stateDirectoryIn,
} from './platform.ts';
import { mapRecordFile } from './record-file.ts';
import { type Inventory, readIdentity, readSysfs, readSysfsFunction } from './sysfs.ts';
import { XenFunction } from './xen-function.ts';

const run = promisify(execFile);
const EBUSY = 16;

export interface XenOptions {
  readonly directory: string;
  /** Default: `state` in the directory. */
  readonly stateDirectory?: string;
  readonly withoutIommu?: boolean;
}

/** A Xen host: guests are domains, functions are the machine's own. The process runs in domain 0, as root. */
export class XenPlatform implements Platform {
  readonly kind = 'xen';
  readonly #hypervisor: Hypervisor;
  readonly #options: XenOptions;
  readonly #host: HostRoot;
  /** As functions were when they were last looked at. */
  readonly #known = new Map<Sbdf, FunctionFacts>();

  /** Throws NO-XEN, NO-PERMISSION or NO-NATIVE-ADDON. */
  constructor(options: XenOptions, hypervisor = Hypervisor.xen(), host = linuxHost) {
    this.#hypervisor = hypervisor;
    this.#options = options;
    this.#host = host;
  }

  inventory(): Inventory {
    const inventory = readSysfs(this.#host.sysfs, 'host', (sbdf) => this.#factsOfBusy(sbdf));
    for (const facts of inventory.functions) this.#known.set(facts.sbdf, facts);
    return inventory;
  }

  factsOf(sbdf: Sbdf): FunctionFacts {
    const facts = this.#factsOfBusy(sbdf) ?? readSysfsFunction(this.#host.sysfs, sbdf);
    this.#known.set(sbdf, facts);
    return facts;
  }

  /** While the kernel is at work with a function, what was known before counts: see `underWay`. Throws FUNCTION-IN-USE without it. */
  #factsOfBusy(sbdf: Sbdf): FunctionFacts | undefined {
    if (!isWriteUnderWay(functionDirectory(this.#host, sbdf))) return undefined;
    const known = this.#known.get(sbdf);
    if (known) return known;
    const message = `the kernel is at work with ${formatSbdf(sbdf)}`;
    throw new PcibackError('FUNCTION-IN-USE', message, 'wait until that is done');
  }

  identityOf(sbdf: Sbdf): Pick<FunctionFacts, 'vendor' | 'device'> | null {
    return readIdentity(this.#host.sysfs, sbdf);
  }

  functionsBelow(sbdf: Sbdf): readonly Sbdf[] {
    return functionsThatVanishWith(this.#host, sbdf);
  }

  driverOf(sbdf: Sbdf): string | null {
    return driverOf(this.#host, sbdf);
  }

  /**
   * In the order that Xen wants: the stub leaves it enabled, which routes its interrupt and lets it decode memory; then Xen can note
   * where its MSI-X table lies; then it is assigned, to nobody, so that it reaches no memory while no guest has it.
   */
  async takeFromHost(facts: FunctionFacts, force: boolean, guest?: number): Promise<Taken> {
    const { sbdf } = facts;
    if (!force) {
      const uses = usersOf(this.#host, facts);
      if (uses.length > 0) throw refuseInUse(facts, uses);
    }
    this.#requireIommu();
    // What a stub keeps for nobody in particular the toolstack has to find as well.
    if (stubChange(this.#host, facts)) await this.changeStub(facts);
    const { stub, ...former } = await this.#bindStub(facts);
    try {
      const now = readSysfsFunction(this.#host.sysfs, sbdf);
      this.#hold(now, stub, guest);
      return { facts: { ...now, driver: former.formerDriver }, former, wasDriven: true };
    } catch (error) {
      // What a stub had before may be a guest's.
      if (facts.driver !== stub) await unbindStub(this.#host, facts, former);
      throw error;
    }
  }

  /** It stays quarantined all the while: xen-pciback tells Xen of the MSI-X table itself, which pci-stub had told. */
  async changeStub(facts: FunctionFacts): Promise<StubChange | null> {
    const change = stubChange(this.#host, facts);
    if (!change) return null;
    this.requireUnassigned(facts.sbdf);
    if (change.from === 'pci-stub' && hasMsix(facts)) this.#hypervisor.releaseMsix(facts.sbdf);
    try {
      await changeStub(this.#host, facts, change);
    } finally {
      this.hold(facts);
    }
    return change;
  }

  hold(facts: FunctionFacts): void {
    this.#hold(facts, this.driverOf(facts.sbdf));
  }

  /** The kernel's stub has told Xen of the table already, and tells it again when it loses the function. */
  #hold(now: FunctionFacts, stub: string | null, guest?: number): void {
    if (stub === 'pci-stub' && hasMsix(now)) this.#prepareMsix(now.sbdf);
    this.#quarantine(now.sbdf, () => now, guest);
  }

  /**
   * Where Xen quarantines nothing the function is the host's until it is a guest's. Throws FUNCTION-IN-USE when it is a guest's
   * already: of `guest` it is taken, to whom a toolstack may have assigned it.
   */
  #quarantine(sbdf: Sbdf, now: () => FunctionFacts, guest?: number): void {
    let result = this.#hypervisor.assignDevice(quarantineDomid, sbdf);
    if (result !== -EBUSY) return;
    if (guest !== undefined && this.#hypervisor.deassignDevice(guest, sbdf) === 0) {
      result = this.#hypervisor.assignDevice(quarantineDomid, sbdf);
    }
    // Xen also calls a function busy that has all vectors masked, until it is reset (xen/arch/x86/msi.c, pci_reset_msix_state). Of one
    // that does not answer it cannot be told: all its bits read as ones.
    if (result === -EBUSY && !masksAllVectors(now())) throw assignedToAnother(sbdf);
  }

  requireUnassigned(sbdf: Sbdf, guest?: number): void {
    this.#quarantine(sbdf, () => this.factsOf(sbdf), guest);
  }

  /** Who was killed before may have told Xen as well. */
  #prepareMsix(sbdf: Sbdf): void {
    const result = this.#hypervisor.prepareMsix(sbdf);
    if (result === 0 || result === -EBUSY) return;
    throw hypercallFailed(`Xen cannot make ready the MSI-X table of ${formatSbdf(sbdf)}`, result);
  }

  async returnToHost({ facts, former }: Taken): Promise<void> {
    const { sbdf } = facts;
    const stub = this.driverOf(sbdf);
    this.requireUnassigned(sbdf);
    const result = deassignDevice(this.#hypervisor, quarantineDomid, sbdf);
    if (result !== 0) throw hypercallFailed(`Xen does not give ${formatSbdf(sbdf)} back to the host`, result);
    if (stub === 'pci-stub' && hasMsix(facts)) this.#hypervisor.releaseMsix(sbdf);
    try {
      if (former) await unbindStub(this.#host, facts, former);
    } catch (error) {
      // It is hidden still, and a guest may get it next.
      if (stub !== null && this.driverOf(sbdf) === stub) this.#hold(facts, stub);
      throw error;
    }
  }

  underWay(sbdf: Sbdf): Promise<void> | undefined {
    return writeUnderWay(functionDirectory(this.#host, sbdf));
  }

  openFunction(sbdf: Sbdf): HostFunction {
    return new XenFunction(this.#host, sbdf, this.#hypervisor);
  }

  openRing(domid: number, grantRef: number, port: number, wake: () => void): Ring {
    return this.#hypervisor.openRing(domid, grantRef, port, wake);
  }

  /** The hypervisor closes the channels of a process that has ended. */
  discardPort(): void {
    // Nothing is left of it.
  }

  /** What a driver of the host works with can be nobody else's, whoever has given it to that driver. */
  assign(domid: number, belongings: Belongings, others: readonly Belongings[]): void {
    requireStub(this.#host, belongings.sbdf);
    assign(this.#hypervisor, domid, belongings, this.#options.withoutIommu ?? false, others);
  }

  revoke(domid: number, belongings: Belongings, others: readonly Belongings[]): void {
    revoke(this.#hypervisor, domid, belongings, others);
  }

  deassign(domid: number, sbdf: Sbdf): void {
    deassign(this.#hypervisor, domid, sbdf);
  }

  domainState(domid: number): DomainState {
    return this.#hypervisor.domainState(domid);
  }

  processorSeconds(domid: number): number {
    return this.#hypervisor.processorSeconds(domid);
  }

  pauseDomain(domid: number, pause: boolean): void {
    const result = this.#hypervisor.pauseDomain(domid, pause);
    if (result !== 0)
      throw hypercallFailed(`Xen does not ${pause ? 'pause' : 'unpause'} domain ${domid}`, result);
  }

  kernelBinds(): boolean {
    return kernelBinds(this.#host);
  }

  async awaitKernel(domid: number): Promise<void> {
    await awaitKernel(this.#host, domid);
  }

  kernelKnows(domid: number): boolean {
    return kernelKnows(this.#host, domid);
  }

  domainIdentity(domid: number): string | null {
    return this.#hypervisor.domainHandle(domid);
  }

  kernelServes(domid: number): boolean {
    return kernelServes(this.#host, domid);
  }

  async takeFromKernel(domid: number): Promise<void> {
    await takeFromKernel(this.#host, domid);
  }

  mapMsi(domid: number, sbdf: Sbdf, entry: number, tableBase: bigint): number {
    return this.#hypervisor.mapMsi(domid, sbdf, entry, tableBase);
  }

  unmapPirq(domid: number, pirq: number): void {
    this.#hypervisor.unmapPirq(domid, pirq);
  }

  /** Functions signal by themselves. */
  signal(): boolean {
    return false;
  }

  /** Xen remembers which domain has which. */
  claimPirq(): void {
    // Nothing to note.
  }

  /** So it does of domains that are gone. */
  releaseDomain(): void {
    // Nothing is left.
  }

  mapRecord(sbdf: Sbdf): ArrayBuffer {
    const { directory, stateDirectory = stateDirectoryIn(directory) } = this.#options;
    return mapRecordFile(stateDirectory, sbdf);
  }

  /** What was opened through the platform stays open. */
  close(): void {
    this.#hypervisor.close();
  }

  /** A stub that is not loaded is loaded: it does nothing by itself. */
  async #bindStub(facts: FunctionFacts): Promise<StubBinding> {
    try {
      return await bindStub(this.#host, facts);
    } catch (error) {
      if (!(error instanceof PcibackError) || error.reason !== 'NO-STUB-DRIVER') throw error;
      await run('modprobe', ['pci-stub']).catch(() => undefined);
      return bindStub(this.#host, facts);
    }
  }

  #requireIommu(): void {
    if ((this.#options.withoutIommu ?? false) || this.#hypervisor.hasIommu()) return;
    throw new PcibackError(
      'NO-IOMMU',
      'Xen uses no IOMMU: a guest could have the function read and write the memory of the host',
      'switch it on in the firmware and boot Xen with iommu=1, or accept that: pciback serve --without-iommu',
    );
  }
}

/** Function Mask of message control (PCI Local Bus 3.0, 6.8.2.3). */
function masksAllVectors({ config }: FunctionFacts): boolean {
  const at = findCapability(config, CapabilityId.msix);
  return at !== undefined && (wordAt(config, at + Msix.control) & Msix.functionMask) !== 0;
}

const hasMsix = ({ config }: FunctionFacts): boolean =>
  findCapability(config, CapabilityId.msix) !== undefined;
