/** The functions of this host: which there are, and how one is taken from the host's driver and given back. */
import { type Sbdf, formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import {
  type FunctionFacts,
  type Inventory,
  type Platform,
  type SharedPage,
  type Taken,
  allFunctions,
  seizeFunction,
  sharedPages,
} from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { claimPath, driverPath, lastDomid, parseDecimal } from '../xenbus/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { type Registry, hostOwner } from './registry.ts';
import { resetUnowned } from './reset-unowned.ts';

interface Parts {
  readonly platform: Platform;
  readonly registry: Registry;
  readonly xenstore: Pick<XenstoreClient, 'read' | 'write' | 'rm'>;
  readonly emit: (event: BackendEvent) => void;
}

/** The kernel's own stub, to which other toolstacks bind what they hand out; and the one that does nothing at all. */
const kernelStub = 'pciback';
const stubs: ReadonlySet<string> = new Set([kernelStub, 'pci-stub']);

export class HostFunctions {
  readonly #parts: Parts;
  #inventory: Inventory;
  /** A driver may take seconds to let go; whoever asks for the same function meanwhile waits for the same end. */
  readonly #underWay = new Map<Sbdf, Promise<void>>();

  /** `inventory` counts where the platform does not know better. */
  constructor(parts: Parts, inventory: Inventory) {
    this.#parts = parts;
    this.#inventory = inventory;
  }

  /** As it was when somebody last asked for a new look. */
  get inventory(): Inventory {
    return this.#inventory;
  }

  /** Looks at all of them anew. */
  lookAgain(): Inventory {
    this.#inventory = this.#parts.platform.inventory() ?? this.#inventory;
    return this.#inventory;
  }

  /** As it is now. Throws NO-SUCH-FUNCTION or NOT-ANSWERING. */
  factsOf(sbdf: Sbdf): FunctionFacts {
    const facts =
      this.#parts.platform.factsOf(sbdf) ?? this.#inventory.functions.find((each) => each.sbdf === sbdf);
    if (facts) return facts;
    const silent = this.#inventory.silent?.find((each) => each.sbdf === sbdf);
    if (silent) throw silent.refusal;
    throw new PcibackError(
      'NO-SUCH-FUNCTION',
      `this host has no PCI function ${formatSbdf(sbdf)}`,
      'see which ones it has: pciback list',
    );
  }

  /**
   * Notices what other toolstacks did with hidden functions while nobody looked, and holds those that no guest has: who was killed
   * while giving one back may have got halfway.
   */
  reconcile(): void {
    if (!this.#isReal) return;
    const { registry } = this.#parts;
    for (const { facts } of registry.entries()) {
      if (this.#isHidden(facts.sbdf) && registry.ownerOf(facts.sbdf) === undefined) this.#hold(facts);
    }
  }

  /** One that another toolstack has given to a guest is that one's. */
  #hold(facts: FunctionFacts): void {
    const { platform, emit } = this.#parts;
    try {
      platform.hold(facts);
    } catch (error) {
      if (error instanceof PcibackError && error.reason === 'FUNCTION-IN-USE') return;
      emit(makeEvent('warning', { sbdf: facts.sbdf, ...failureDetails(error) }));
    }
  }

  /** One that a driver of the host has got back by other hands than ours is hidden no more. */
  #isHidden(sbdf: Sbdf): boolean {
    const { registry, platform, emit } = this.#parts;
    if (!registry.get(sbdf)) return false;
    if (!this.#isReal || registry.ownerOf(sbdf) !== undefined) return true;
    const driver = platform.driverOf(sbdf);
    if (driver !== null && stubs.has(driver)) return true;
    registry.drop(sbdf);
    emit(makeEvent('function.unhidden', { sbdf, from: 'hidden', to: driver ?? 'no driver', cause: 'host' }));
    return false;
  }

  /**
   * Takes a function from its driver, and resets it where a driver may have left it at work. One that is hidden stays as it is.
   * Rejects with HOST-USES-IT unless `force`d, FUNCTION-IN-USE, or RESET-FAILED: it is hidden then, and quarantined.
   */
  async hide(sbdf: Sbdf, force: boolean): Promise<void> {
    if (!this.#isHidden(sbdf)) await this.#once(sbdf, () => this.#take(sbdf, force, undefined));
  }

  /**
   * Takes a function that a toolstack has listed for a guest from the kernel's stub, to which that toolstack had bound it. Does
   * nothing for any other.
   */
  async hideListed(sbdf: Sbdf, domid: number): Promise<void> {
    if (!this.#isReal || this.#isHidden(sbdf)) return;
    if (this.factsOf(sbdf).driver === kernelStub) {
      await this.#once(sbdf, () => this.#take(sbdf, false, domid));
    }
  }

  /**
   * Throws NOT-ISOLATED when a guest that is given the function would reach registers of another one with it, which is neither this
   * guest's nor hidden and nobody's (XSA-461).
   */
  requireIsolated(sbdf: Sbdf, domid: number): void {
    const { registry } = this.#parts;
    for (const shared of this.#pagesOf(sbdf)) {
      const { sbdf: other } = shared.other;
      const owner = registry.ownerOf(other);
      if (registry.get(other) && (owner === undefined || owner === domid)) continue;
      const keepApart = `pci=resource_alignment=12@${formatSbdf(sbdf)} on the command line of the kernel`;
      throw notIsolated(shared, `hide that one too, or keep them apart: ${keepApart}`);
    }
  }

  /** Throws NOT-ISOLATED while a guest reaches registers of the function, because it has another one with some in the same page. */
  #requireUnreached(sbdf: Sbdf): void {
    for (const shared of this.#pagesOf(sbdf)) {
      const { sbdf: other } = shared.other;
      const owner = this.#parts.registry.ownerOf(other);
      if (owner === undefined || owner === hostOwner) continue;
      throw notIsolated(shared, `take that one back first: pciback detach ${owner} ${formatSbdf(other)}`);
    }
  }

  #pagesOf(sbdf: Sbdf): readonly SharedPage[] {
    if (!this.#isReal) return [];
    return sharedPages(allFunctions(this.#inventory)).filter((shared) => shared.sbdf === sbdf);
  }

  /**
   * Gives a hidden function back to the driver that had it. Rejects with NOT-HIDDEN, FUNCTION-IN-USE, NOT-ISOLATED, QUARANTINED unless
   * `force`d, or NOT-RETURNED: then no driver has it.
   */
  async unhide(sbdf: Sbdf, force: boolean): Promise<void> {
    const { platform, registry, emit } = this.#parts;
    await registry.giveUp(sbdf, force, async (entry) => {
      this.#requireUnreached(sbdf);
      await platform.returnToHost(entry);
    });
    if (this.#isReal) await this.#parts.xenstore.rm(driverPath(sbdf));
    emit(makeEvent('function.unhidden', { sbdf, from: 'hidden' }));
  }

  /** Whether functions are those of this machine, and not models of them. */
  get #isReal(): boolean {
    return this.#parts.platform.kind === 'xen';
  }

  /**
   * Writes the driver that is about to lose a function to where libxl keeps it too: whoever is killed before the function is known as
   * hidden, or has another toolstack give it back, finds it there. The driver that is found there when none has it now.
   */
  async #noteDriver({ sbdf, driver }: FunctionFacts): Promise<string | null> {
    if (!this.#isReal) return null;
    const { xenstore } = this.#parts;
    if (driver === null || stubs.has(driver)) {
      return (
        /^\/sys\/bus\/pci\/drivers\/([\w+.-]{1,64})$/.exec(
          (await xenstore.read(driverPath(sbdf))) ?? '',
        )?.[1] ?? null
      );
    }
    await xenstore.write(driverPath(sbdf), `/sys/bus/pci/drivers/${driver}`);
    return null;
  }

  async #once(sbdf: Sbdf, run: () => Promise<void>): Promise<void> {
    const running = this.#underWay.get(sbdf);
    if (running) return running;
    const promise = run().finally(() => this.#underWay.delete(sbdf));
    this.#underWay.set(sbdf, promise);
    return promise;
  }

  async #take(sbdf: Sbdf, force: boolean, domid: number | undefined): Promise<void> {
    const { platform, registry, emit } = this.#parts;
    const facts = this.factsOf(sbdf);
    await this.#requireUnclaimed(facts, domid);
    const formerDriver = await this.#noteDriver(facts);
    const taken = withFormerDriver(await platform.takeFromHost(facts, force, domid), formerDriver);
    try {
      const hardware = platform.openFunction(sbdf);
      try {
        registry.add(taken, seizeFunction(hardware, taken.facts));
      } finally {
        hardware.close();
      }
    } catch (error) {
      await this.#putBack(facts.driver, taken);
      throw error;
    }
    emit(makeEvent('function.hidden', { sbdf, to: 'hidden' }));
    // Seizing has taken away what may have kept Xen from it before.
    platform.requireUnassigned(sbdf, domid);
    if (!taken.wasDriven) return;
    if (taken.facts.resetMethods.length > 0) await resetUnowned(platform, registry, sbdf, emit);
    else emit(makeEvent('warning', noReset(sbdf)));
  }

  /**
   * Undoes a taking. A stub keeps what it had; and what the kernel's has a toolstack offers to guests, and expects it to be in
   * quarantine meanwhile (libxl_pci.c, libxl__device_pci_assignable_add).
   */
  async #putBack(holder: string | null, taken: Taken): Promise<void> {
    if (holder === kernelStub) return;
    const former = holder !== null && stubs.has(holder) ? null : taken.former;
    await this.#parts.platform.returnToHost({ ...taken, former });
  }

  /** What the kernel's stub has may be another guest's, whom the kernel serves. */
  async #requireUnclaimed({ sbdf, driver }: FunctionFacts, domid: number | undefined): Promise<void> {
    if (driver !== kernelStub) return;
    const claimant = parseDecimal(await this.#parts.xenstore.read(claimPath(sbdf)), lastDomid);
    if (claimant === undefined || claimant === domid) return;
    throw new PcibackError(
      'FUNCTION-IN-USE',
      `${formatSbdf(sbdf)} belongs to domain ${claimant}, which the kernel's xen-pciback serves`,
      `take it back first: xl pci-detach ${claimant} ${formatSbdf(sbdf)}`,
    );
  }
}

/** A function that a stub had already goes back to the driver from before the stub. */
function withFormerDriver(taken: Taken, formerDriver: string | null): Taken {
  const { facts, former } = taken;
  if (formerDriver === null || former === null || former.formerDriver !== null) return taken;
  return { ...taken, facts: { ...facts, driver: formerDriver }, former: { ...former, formerDriver } };
}

const notIsolated = ({ sbdf, other, page }: SharedPage, remedy: string): PcibackError =>
  new PcibackError(
    'NOT-ISOLATED',
    `${formatSbdf(sbdf)} has registers in the same page of memory (0x${page.toString(16)}) as ${formatSbdf(other.sbdf)}`,
    remedy,
  );

const noReset = (sbdf: Sbdf): Pick<BackendEvent, 'reason' | 'message' | 'remedy'> & { sbdf: Sbdf } => ({
  sbdf,
  reason: 'NO-RESET',
  message: `${formatSbdf(sbdf)} offers no way to reset it: it will be quarantined when its guest gives it back`,
  remedy: 'give it to one guest only, or leave it to the host',
});
