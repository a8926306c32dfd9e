/**
 * Whether hidden functions are still where they were put. Whoever may write to sysfs can take one from its stub at any time, and a
 * card can be pulled: what sysfs says now counts, not what was noted.
 */
import { formatSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { isStub, type Platform, requireAnswer } from '../host/index.ts';
import { type BackendEvent, makeEvent } from '../monitor/index.ts';
import { type Entry, type Registry, hostOwner, stateOf } from './registry.ts';

interface Parts {
  readonly platform: Platform;
  readonly registry: Registry;
  readonly emit: (event: BackendEvent) => void;
}

/** How a function was lost. */
interface Loss {
  /** The driver that has it now, `no driver`, or what else is there in its place. */
  readonly to: string;
  /** `was taken from its stub: e1000e has it`. */
  readonly problem: string;
  /** The device is still there, and somebody else has it. */
  readonly isPresent: boolean;
}

/** A function that was hidden until other hands took it, to be cleared up after. */
export interface Lost {
  readonly entry: Entry;
  readonly to: string;
}

const ids = ({ vendor, device }: { readonly vendor: number; readonly device: number }): string =>
  [vendor, device].map((id) => id.toString(16).padStart(4, '0')).join(':');

export class HeldFunctions {
  readonly #parts: Parts;
  /** What was told of functions that guests have: each loss once. */
  readonly #told = new Map<Sbdf, string>();
  /** Functions that are hidden no more, and that the host still has. */
  readonly #lost = new Map<Sbdf, Lost>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Looks at all hidden functions. */
  lookAtAll(): void {
    for (const { facts } of this.#parts.registry.entries()) this.look(facts.sbdf);
  }

  /**
   * Looks at a function. One that no guest has is hidden no more when its stub has lost it; of one that a guest has it is told.
   * @returns whether the function is hidden
   */
  look(sbdf: Sbdf): boolean {
    const { registry } = this.#parts;
    const entry = registry.get(sbdf);
    if (!entry) return false;
    const loss = this.#lossOf(entry);
    if (!loss) {
      this.#told.delete(sbdf);
      return true;
    }
    const owner = registry.ownerOf(sbdf);
    if (owner !== undefined) this.#tellOwned(sbdf, owner, loss);
    else this.#drop(entry, loss);
    return owner !== undefined;
  }

  /** What is wrong with a hidden function, as it was last seen; null when its stub has it. */
  problemOf(sbdf: Sbdf): string | null {
    return this.#told.get(sbdf) ?? null;
  }

  /**
   * Looks at a function that is about to be used.
   * @throws NOT-HIDDEN when its stub has lost it, NOT-ANSWERING
   */
  require(sbdf: Sbdf): void {
    const { platform, registry } = this.#parts;
    const entry = registry.get(sbdf);
    const loss = entry && this.#lossOf(entry);
    this.look(sbdf);
    if (loss) throw notHeld(sbdf, loss);
    // While it is being reset its registers must not be read.
    if (!entry || stateOf(entry) !== 'hidden') return;
    const hardware = platform.openFunction(sbdf);
    try {
      requireAnswer(hardware);
    } finally {
      hardware.close();
    }
  }

  /** Forgets a function that was lost. Undefined when it was not, or is not there any more. */
  takeLost(sbdf: Sbdf): Lost | undefined {
    const lost = this.#lost.get(sbdf);
    this.#lost.delete(sbdf);
    return lost;
  }

  /** While the host itself works on a function, its stub may rightly be without it. Models have no stub. */
  #lossOf({ facts }: Entry): Loss | undefined {
    const { platform, registry } = this.#parts;
    const { sbdf } = facts;
    if (platform.kind !== 'xen' || registry.ownerOf(sbdf) === hostOwner) return undefined;
    const found = platform.identityOf(sbdf);
    if (found === null) {
      return { to: 'nothing', problem: 'is not on this host any more', isPresent: false };
    }
    if (found && ids(found) !== ids(facts)) {
      const problem = `has made room for another device: ${ids(found)}, not ${ids(facts)}`;
      return { to: ids(found), problem, isPresent: false };
    }
    const driver = platform.driverOf(sbdf);
    if (isStub(driver)) return undefined;
    const to = driver ?? 'no driver';
    return { to, problem: `was taken from its stub: ${to} has it`, isPresent: true };
  }

  #tellOwned(sbdf: Sbdf, domid: number, { to, problem }: Loss): void {
    if (this.#told.get(sbdf) === problem) return;
    this.#told.set(sbdf, problem);
    const name = formatSbdf(sbdf);
    const remedy = `take it back from the guest: pciback detach ${domid} ${name}`;
    this.#tell(sbdf, { domid, to, message: `${name} ${problem}, while domain ${domid} uses it`, remedy });
  }

  #drop(entry: Entry, loss: Loss): void {
    const { registry, emit } = this.#parts;
    const { sbdf } = entry.facts;
    const { to, problem } = loss;
    const from = stateOf(entry);
    registry.drop(sbdf);
    this.#told.delete(sbdf);
    if (loss.isPresent) this.#lost.set(sbdf, { entry, to });
    const name = formatSbdf(sbdf);
    this.#tell(sbdf, { from, to, message: `${name} ${problem}`, remedy: hideAgain(sbdf, loss) });
    emit(makeEvent('function.unhidden', { sbdf, from: 'hidden', to, cause: 'host' }));
  }

  #tell(sbdf: Sbdf, details: Partial<BackendEvent>): void {
    this.#parts.emit(makeEvent('function.taken', { sbdf, reason: 'NOT-HIDDEN', cause: 'host', ...details }));
  }
}

const hideAgain = (sbdf: Sbdf, { isPresent, to }: Loss): string =>
  isPresent || to !== 'nothing'
    ? `hide it again: pciback hide ${formatSbdf(sbdf)}`
    : 'plug it in again, and hide it';

const notHeld = (sbdf: Sbdf, loss: Loss): PcibackError =>
  new PcibackError('NOT-HIDDEN', `${formatSbdf(sbdf)} ${loss.problem}`, hideAgain(sbdf, loss));
