/** The functions of this host: which there are, and how one is taken from the host's driver and given back. */
import { type Sbdf, formatSbdf } from '../address.ts';
import type { FunctionState } from '../../machines/function.ts';
import { requireKnownLayout, restoreConfig } from '../config-space/index.ts';
import { PcibackError } from '../errors.ts';
import {
  type FunctionFacts,
  type Inventory,
  type Platform,
  type SharedPage,
  type StubChange,
  type Taken,
  allFunctions,
  isStub,
  requireAnswer,
  seizeFunction,
  sharedPages,
} from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/index.ts';
import { claimPath, driverPath, lastDomid, parseDecimal } from '../xenbus/index.ts';
import { type TopologyKind, requireExportable } from '../topology/index.ts';
import type { XenstoreClient } from '../xenstore/index.ts';
import { candidate } from './candidate.ts';
import { HeldFunctions } from './held-functions.ts';
import { type Entry, type Registry, hostOwner, stateOf } from './registry.ts';
import { resetUnowned } from './reset-unowned.ts';

interface Parts {
  readonly platform: Platform;
  readonly registry: Registry;
  readonly xenstore: Pick<XenstoreClient, 'read' | 'write' | 'rm'>;
  readonly emit: (event: BackendEvent) => void;
  /** Default: `vpci`. */
  readonly topology?: TopologyKind;
}

/** The kernel's own stub, to which other toolstacks bind what they hand out. */
const kernelStub = 'pciback';

/** What hiding a function came to. */
export interface HideOutcome {
  readonly state: FunctionState;
  /** It was hidden before. */
  readonly already: boolean;
  /** It was moved to the stub that the toolstack looks for. */
  readonly moved: StubChange | null;
}

/** What giving a function back came to: the driver that has it, if other hands had taken it before. */
export interface UnhideOutcome {
  readonly takenBy: string | null;
}

export class HostFunctions {
  readonly #parts: Parts;
  readonly #held: HeldFunctions;
  #inventory: Inventory;
  /** A driver may take seconds to let go; whoever asks for the same function meanwhile waits for the same end. */
  readonly #underWay = new Map<Sbdf, Promise<void>>();

  /** `inventory` counts where the platform does not know better. */
  constructor(parts: Parts, inventory: Inventory) {
    this.#parts = parts;
    this.#held = new HeldFunctions(parts);
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
      if (this.#held.look(facts.sbdf) && registry.ownerOf(facts.sbdf) === undefined) this.#hold(facts);
    }
  }

  /** Looks whether hidden functions, or one of them, are where they were put; see `HeldFunctions`. */
  look(sbdf?: Sbdf): void {
    if (sbdf === undefined) this.#held.lookAtAll();
    else this.#held.look(sbdf);
  }

  /** What is wrong with a hidden function, as it was last seen; null when nothing is. */
  problemOf(sbdf: Sbdf): string | null {
    return this.#held.problemOf(sbdf);
  }

  /** Throws NOT-HIDDEN when other hands have taken a hidden function, or NOT-ANSWERING. */
  requireHeld(sbdf: Sbdf): void {
    this.#held.require(sbdf);
  }

  /** Moves what nobody has to the stub that the toolstack looks for, which may have been loaded since. What fails is told. */
  async settleStubs(): Promise<void> {
    // Each for itself: the stub that is left may have its function reset, for as long as that takes.
    const moves = this.#parts.registry.entries().map(async ({ facts }) => {
      try {
        await this.#changeStub(facts.sbdf);
      } catch (error) {
        this.#parts.emit(makeEvent('warning', { sbdf: facts.sbdf, ...failureDetails(error) }));
      }
    });
    await Promise.all(moves);
  }

  /** What a guest has stays where it is. */
  async #changeStub(sbdf: Sbdf): Promise<StubChange | null> {
    const { registry, platform, emit } = this.#parts;
    if (!this.#isReal || registry.ownerOf(sbdf) !== undefined) return null;
    return registry.whileUnowned(sbdf, async (entry) => {
      await platform.underWay(sbdf);
      const change = await platform.changeStub(entry.facts);
      if (!change) return null;
      this.#restore(entry);
      const message = `${formatSbdf(sbdf)} was moved from ${change.from} to ${change.to}, where toolstacks look for it`;
      emit(makeEvent('function.moved', { sbdf, ...change, message }));
      return change;
    });
  }

  /** The new stub has reset it, and may have left some registers otherwise. */
  #restore({ facts, seized }: Entry): void {
    const hardware = this.#parts.platform.openFunction(facts.sbdf);
    try {
      requireAnswer(hardware);
      restoreConfig(hardware, seized.config);
    } finally {
      hardware.close();
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

  /**
   * Takes a function from its driver, and resets it where a driver may have left it at work. One that is hidden is moved to the stub
   * that the toolstack looks for when another one has it, and nobody the function.
   * @throws NO-SUCH-FUNCTION, NOT-ANSWERING, BRIDGE, HEADER-TYPE, HOST-USES-IT unless `force`d, FUNCTION-IN-USE, DRIVER-BINDING, or
   * RESET-FAILED: it is hidden then, and quarantined
   */
  async hide(sbdf: Sbdf, force: boolean): Promise<HideOutcome> {
    const already = this.#held.look(sbdf);
    const moved = already ? await this.#changeStub(sbdf) : null;
    if (!already) await this.#once(sbdf, () => this.#take(sbdf, force, undefined));
    const entry = this.#parts.registry.get(sbdf);
    return { state: entry ? stateOf(entry) : 'hidden', already, moved };
  }

  /**
   * Takes a function that a toolstack has listed for a guest from the kernel's stub, to which that toolstack had bound it. Does
   * nothing for any other.
   */
  async hideListed(sbdf: Sbdf, domid: number): Promise<void> {
    if (!this.#isReal || this.#held.look(sbdf)) return;
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
   * Gives a hidden function back to the driver that had it. After one that other hands have taken it clears up. Rejects with NOT-HIDDEN,
   * FUNCTION-IN-USE, NOT-ISOLATED, QUARANTINED unless `force`d, or NOT-RETURNED: then no driver has it.
   */
  async unhide(sbdf: Sbdf, force: boolean): Promise<UnhideOutcome> {
    const { platform, registry, emit } = this.#parts;
    this.#held.look(sbdf);
    const lost = registry.get(sbdf) ? undefined : this.#held.takeLost(sbdf);
    if (lost) {
      await platform.returnToHost(lost.entry);
      await this.#parts.xenstore.rm(driverPath(sbdf));
      return { takenBy: platform.driverOf(sbdf) ?? lost.to };
    }
    await registry.giveUp(sbdf, force, async (entry) => {
      await platform.underWay(sbdf);
      this.#requireUnreached(sbdf);
      await platform.returnToHost(entry);
    });
    if (this.#isReal) await this.#parts.xenstore.rm(driverPath(sbdf));
    emit(makeEvent('function.unhidden', { sbdf, from: 'hidden' }));
    return { takenBy: null };
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
    if (driver === null || isStub(driver)) {
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
    await platform.underWay(sbdf);
    const facts = this.factsOf(sbdf);
    requireExportable(candidate(facts), this.#parts.topology ?? 'vpci');
    requireKnownLayout(facts.config);
    this.#requireNoneLost(sbdf, domid);
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
    this.#held.takeLost(sbdf);
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
    const former = isStub(holder) ? null : taken.former;
    await this.#parts.platform.returnToHost({ ...taken, former });
  }

  /** What a guest has must not vanish from it, whoever insists. */
  #requireNoneLost(sbdf: Sbdf, domid: number | undefined): void {
    for (const below of this.#parts.platform.functionsBelow(sbdf)) {
      const owner = this.#parts.registry.ownerOf(below);
      if (owner === undefined || owner === domid) continue;
      const [name, other] = [formatSbdf(sbdf), formatSbdf(below)];
      throw new PcibackError(
        'FUNCTION-IN-USE',
        `${other}, which domain ${owner} has, would be lost along with ${name}`,
        `take it back first: pciback detach ${owner} ${other}`,
      );
    }
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
