import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { Sbdf } from '../address.ts';
import { CapabilityId, Msix } from '../config-space/bits.ts';
import { findCapability } from '../config-space/capabilities.ts';
import { dwordAt, wordAt } from '../config-space/image.ts';
import type { StubChange } from './driver-binding.ts';
import { Hypervisor } from './hypervisor.ts';
import { type Delay, openModel } from './model.ts';
import { ensureModel, factsOfModel } from './model-file.ts';
import {
  type DomainState,
  type FunctionFacts,
  type HostFunction,
  type Platform,
  type Ring,
  type Taken,
  stateDirectoryIn,
} from './platform.ts';
import { mapRecordFile } from './record-file.ts';
import { readText } from './sysfs-file.ts';

const ENODEV = 19;
const EINVAL = 22;

/** "A hypervisor in a directory": guests are processes, functions are models, and nothing of the machine is touched. */
export class LoopbackPlatform implements Platform {
  readonly kind: Platform['kind'] = 'loopback';
  /** What only this platform can do: raise interrupts, remove ports of a killed predecessor. */
  readonly hypervisor: Hypervisor;
  readonly #directory: string;
  readonly #state: string;
  readonly #delay: Delay | undefined;
  readonly #facts = new Map<Sbdf, FunctionFacts>();

  /** `delay` stands in for the time that resets take; models and records are in `state`. Throws BAD-DIRECTORY or NO-NATIVE-ADDON. */
  constructor(directory: string, delay?: Delay, state = stateDirectoryIn(directory)) {
    this.hypervisor = Hypervisor.loopback(directory);
    this.#directory = directory;
    this.#state = state;
    this.#delay = delay;
  }

  /** Models are made of what the host had at the start. */
  inventory(): null {
    return null;
  }

  factsOf(): FunctionFacts | null {
    return null;
  }

  /** A model stays what it is. */
  identityOf(): Pick<FunctionFacts, 'vendor' | 'device'> | null | undefined {
    return undefined;
  }

  /** Models have no tie to each other. */
  functionsBelow(): readonly Sbdf[] {
    return [];
  }

  driverOf(): string | null {
    return null;
  }

  /** Makes the model; the function itself is never touched. Throws BAD-DIRECTORY or BAD-FILE. */
  async takeFromHost(facts: FunctionFacts): Promise<Taken> {
    // Of a model that is there nobody knows what a guest may have left in it, whose daemon could not write down that it had it.
    const wasDriven = ensureModel(this.#directory, facts, this.#state);
    return { facts, former: null, wasDriven };
  }

  /** The model stays: hardware does not go away when a driver takes it back. */
  async returnToHost(): Promise<void> {
    // Nobody drives a model.
  }

  /** Models have no stub. */
  async changeStub(): Promise<StubChange | null> {
    return null;
  }

  hold(): void {
    // Nobody else reaches for a model.
  }

  requireUnassigned(): void {
    // There is no other toolstack.
  }

  assign(): void {
    // A model has no memory to give, and reaches for none.
  }

  revoke(): void {
    // Nothing was given.
  }

  deassign(): void {
    // It never was.
  }

  /** What `dom/<domid>` says. */
  domainState(domid: number): DomainState {
    const text = readText(join(this.#directory, 'dom', String(domid)));
    if (text === undefined) return 'absent';
    if (text.startsWith('shutdown')) return 'shutdown';
    return text.startsWith('dying') ? 'dying' : 'running';
  }

  processorSeconds(): number {
    return 0;
  }

  pauseDomain(): void {
    // The processes of a guest are nobody's to stop.
  }

  /** The file itself: another domain of this id has another one. A number of an inode may be used again, but not with the same birth. */
  domainIdentity(domid: number): string | null {
    const path = join(this.#directory, 'dom', String(domid));
    const file = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return file ? `${file.ino}.${file.birthtimeNs}` : null;
  }

  /** There is no kernel in a directory. */
  kernelBinds(): boolean {
    return false;
  }

  async awaitKernel(): Promise<void> {
    // It will not.
  }

  kernelKnows(): boolean {
    return false;
  }

  kernelServes(): boolean {
    return false;
  }

  async takeFromKernel(): Promise<void> {
    // It has nothing.
  }

  /** Nothing goes on with a model once its process is gone. */
  underWay(): Promise<void> | undefined {
    return undefined;
  }

  openFunction(sbdf: Sbdf): HostFunction {
    return openModel(this.#directory, sbdf, this.#delay, this.#state);
  }

  openRing(domid: number, grantRef: number, port: number, wake: () => void): Ring {
    return this.hypervisor.openRing(domid, grantRef, port, wake);
  }

  discardPort(port: number): void {
    this.hypervisor.discardPort(port);
  }

  /** Refuses what Xen would refuse: ENODEV without the capability, EINVAL for an entry or a base that is not the table's. */
  mapMsi(domid: number, sbdf: Sbdf, entry: number, tableBase: bigint): number {
    const refusal = entry < 0 ? this.#refusesMsi(sbdf) : this.#refusesMsix(sbdf, entry, tableBase);
    return refusal === 0 ? this.hypervisor.mapMsi(domid, sbdf, entry, tableBase) : -refusal;
  }

  #refusesMsi(sbdf: Sbdf): number {
    return findCapability(this.#factsOf(sbdf).config, CapabilityId.msi) === undefined ? ENODEV : 0;
  }

  #refusesMsix(sbdf: Sbdf, entry: number, tableBase: bigint): number {
    const { config, resources } = this.#factsOf(sbdf);
    const at = findCapability(config, CapabilityId.msix);
    if (at === undefined) return ENODEV;
    const lastEntry = wordAt(config, at + Msix.control) & Msix.tableSizeMask;
    const bar = dwordAt(config, at + Msix.table) & Msix.barMask;
    const start = resources.find(({ index }) => index === bar)?.start;
    return entry > lastEntry || tableBase !== start ? EINVAL : 0;
  }

  unmapPirq(domid: number, pirq: number): void {
    this.hypervisor.unmapPirq(domid, pirq);
  }

  signal(domid: number, pirq: number): boolean {
    return this.hypervisor.raisePirq(domid, pirq);
  }

  claimPirq(domid: number, pirq: number): void {
    this.hypervisor.claimPirq(domid, pirq);
  }

  releaseDomain(domid: number): void {
    this.hypervisor.releasePirqs(domid);
  }

  mapRecord(sbdf: Sbdf): ArrayBuffer {
    return mapRecordFile(this.#state, sbdf);
  }

  /** What was opened through the platform stays open. */
  close(): void {
    this.hypervisor.close();
  }

  #factsOf(sbdf: Sbdf): FunctionFacts {
    let facts = this.#facts.get(sbdf);
    if (facts === undefined) {
      facts = factsOfModel(this.#directory, sbdf, this.#state);
      this.#facts.set(sbdf, facts);
    }
    return facts;
  }
}
