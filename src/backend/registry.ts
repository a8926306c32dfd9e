/**
 * Who has which function. Every function that was taken from the host is here, as the stored snapshot of its machine and the
 * facts from before anybody touched it; nothing here is ever decided by what a guest wrote.
 */
import { Subject, firstValueFrom, fromEvent, merge } from 'rxjs';
import { type Snapshot, createActor } from 'xstate';
import {
  type FunctionContext,
  type FunctionFailure,
  functionMachine,
  isExported,
} from '../../machines/function.ts';
import { type Sbdf, formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { Belongings, Taken } from '../host/platform.ts';
import {
  type FilterMode,
  type Quirk,
  type QuirkChange,
  type Seized,
  compileFilter,
  defaultMode,
  withQuirk,
} from '../config-space/index.ts';
import { type Entry, contextOf, hiddenSnapshot, isEntry, stateOf } from './entry.ts';
import { lifeOf, reconciled, returned } from './life-note.ts';
import type { LifeNotes } from './life-notes.ts';
import type { Urgency } from './saver.ts';
import { FileStore, type StoreOptions } from './store.ts';

export { type Entry, contextOf, stateOf } from './entry.ts';

/** Stands for the host itself, while it works on a function: the id of domain 0. */
export const hostOwner = 0;

export interface RegistryOptions extends StoreOptions {
  readonly notes?: Pick<LifeNotes, 'lifeOf' | 'note' | 'forget'>;
}

/** Whether a function is not this domain's, but one's that had its id before. */
export const wasGivenToAnother = ({ domain: owner }: Entry, domain: string | null): boolean =>
  owner !== undefined && owner !== domain;

export class Registry {
  readonly #entries = new Map<Sbdf, Entry>();
  /** Held from the moment a guest is given a function until it is hidden again, whatever its machine says meanwhile. */
  readonly #owners = new Map<Sbdf, number>();
  /** Functions that their owner has through the kernel's own back-end. */
  readonly #lent = new Set<Sbdf>();
  /** Who had a function last, as far as this process has seen it. */
  readonly #formerOwners = new Map<Sbdf, number>();
  readonly #released = new Subject<void>();
  readonly #forgotten = new Subject<Sbdf>();
  /** Functions that are hidden no more. */
  readonly forgotten$ = this.#forgotten.asObservable();
  readonly #store: FileStore<Entry>;
  readonly #notes: RegistryOptions['notes'];

  constructor(
    directory: string,
    onDamage: (key: string, error: unknown) => void,
    options: RegistryOptions = {},
  ) {
    this.#store = new FileStore(directory, isEntry, options);
    this.#notes = options.notes;
    for (const entry of this.#store.load(onDamage).values()) this.#inherit(entry);
  }

  /** What is noted in the record of a function is newer than its file when that could not be written. */
  #inherit(entry: Entry): void {
    const { sbdf } = entry.facts;
    const now = reconciled(entry, this.#notes?.lifeOf(sbdf));
    if (!now) {
      this.#forget(sbdf);
      return;
    }
    if (now === entry) this.#entries.set(sbdf, entry);
    else this.#put(now);
    const { owner } = contextOf(now);
    if (owner !== null) this.#owners.set(sbdf, owner);
  }

  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  get(sbdf: Sbdf): Entry | undefined {
    return this.#entries.get(sbdf);
  }

  ownerOf(sbdf: Sbdf): number | undefined {
    return this.#owners.get(sbdf);
  }

  formerOwnerOf(sbdf: Sbdf): number | undefined {
    return this.#formerOwners.get(sbdf);
  }

  /** The functions that a session has given to a guest, and that it gives back. Those lent by the kernel's back-end are not among them. */
  ownedBy(domid: number): readonly Sbdf[] {
    return [...this.#owners]
      .filter(([sbdf, owner]) => owner === domid && !this.#lent.has(sbdf))
      .map(([sbdf]) => sbdf);
  }

  /** What a guest has along with its functions. */
  belongingsOf(domid: number): readonly Belongings[] {
    return this.entries()
      .filter(({ facts }) => this.#owners.get(facts.sbdf) === domid)
      .map(({ facts: { sbdf }, seized: { resources, irq } }) => ({ sbdf, resources, irq }));
  }

  add(taken: Taken, seized: Seized): void {
    this.#put({ ...taken, seized, snapshot: hiddenSnapshot(taken.facts.sbdf), mode: defaultMode });
  }

  /**
   * Forgets a function once `giveBack` has given it to the host; no guest gets it meanwhile. Rejects with NOT-HIDDEN, FUNCTION-IN-USE,
   * or QUARANTINED unless `force`d. When `giveBack` fails it stays, but for NOT-RETURNED: nobody has it then.
   */
  async giveUp(sbdf: Sbdf, force: boolean, giveBack: (entry: Entry) => Promise<void>): Promise<void> {
    await this.whileUnowned(sbdf, async (entry) => {
      if (!force && stateOf(entry) === 'quarantined') throw quarantined(entry);
      try {
        await giveBack(entry);
      } catch (error) {
        if (!(error instanceof PcibackError) || error.reason !== 'NOT-RETURNED') throw error;
        this.#forget(sbdf);
        throw error;
      }
      this.#forget(sbdf);
    });
  }

  /** Forgets a function that no guest has, and that somebody else has given to the host. */
  drop(sbdf: Sbdf): void {
    if (!this.#owners.has(sbdf)) this.#forget(sbdf);
  }

  #forget(sbdf: Sbdf): void {
    this.#entries.delete(sbdf);
    this.#notes?.note(sbdf, returned);
    this.#store.delete(formatSbdf(sbdf));
    this.#notes?.forget(sbdf);
    this.#forgotten.next(sbdf);
  }

  /**
   * Gives a function to a guest, or confirms that the guest has it. Throws NOT-HIDDEN, FUNCTION-IN-USE or QUARANTINED. There
   * is no moment between asking and having: two guests cannot both be told yes. `domain` tells the guest from others of its id.
   */
  claim(sbdf: Sbdf, domid: number, domain?: string | null): Entry {
    const entry = this.#expect(sbdf);
    const owner = this.#owners.get(sbdf);
    const isSame = domain === undefined || !wasGivenToAnother(entry, domain);
    const isLent = this.isLent(sbdf, domid);
    if (owner === domid && isSame && !isLent) return entry;
    if (owner !== undefined && !isLent) throw inUse(sbdf, owner);
    if (stateOf(entry) !== 'hidden') throw quarantined(entry);
    this.#owners.set(sbdf, domid);
    this.#lent.delete(sbdf);
    // Stored with what its machine reports next, which is the first to name the owner.
    const given = { ...entry, domain };
    this.#entries.set(sbdf, given);
    return given;
  }

  /** Notes that a guest has a hidden function by other hands, through the kernel's own back-end. False when somebody has it already. */
  lend(sbdf: Sbdf, domid: number): boolean {
    const entry = this.#entries.get(sbdf);
    const isFree = !this.#owners.has(sbdf) || this.isLent(sbdf, domid);
    if (!entry || stateOf(entry) !== 'hidden' || !isFree) return false;
    this.#owners.set(sbdf, domid);
    this.#lent.add(sbdf);
    return true;
  }

  isLent(sbdf: Sbdf, domid: number): boolean {
    return this.#lent.has(sbdf) && this.#owners.get(sbdf) === domid;
  }

  /**
   * Like `claim`, but waits for a guest that has the function to give it back, at most so many milliseconds. `onWait` is told
   * who that is, and that the wait is over.
   */
  async claimInTurn(
    sbdf: Sbdf,
    domid: number,
    domain: string | null,
    patience: number,
    onWait: (owner: number | null) => void,
  ): Promise<Entry> {
    const patienceEnds = AbortSignal.timeout(patience);
    try {
      for (;;) {
        const owner = this.#owners.get(sbdf);
        if (owner === undefined || owner === domid || patienceEnds.aborted) {
          return this.claim(sbdf, domid, domain);
        }
        onWait(owner);
        await firstValueFrom(merge(this.#released, fromEvent(patienceEnds, 'abort')));
      }
    } finally {
      onWait(null);
    }
  }

  /** Ends a claim that has led to nothing, or is over: the function's machine knows of no owner. */
  disclaim(sbdf: Sbdf, domid: number): void {
    const entry = this.#entries.get(sbdf);
    if (this.#owners.get(sbdf) !== domid) return;
    if (!entry || contextOf(entry).owner === null) this.#disown(sbdf);
  }

  /** The function, if no guest has it, for as long as `work` lasts. Throws NOT-HIDDEN or FUNCTION-IN-USE. */
  async whileUnowned<T>(sbdf: Sbdf, work: (entry: Entry) => Promise<T>): Promise<T> {
    const entry = this.#expect(sbdf);
    const owner = this.#owners.get(sbdf);
    if (owner !== undefined) throw inUse(sbdf, owner);
    this.#owners.set(sbdf, hostOwner);
    try {
      return await work(entry);
    } finally {
      this.#disown(sbdf);
    }
  }

  /** Lets a guest write registers without a rule, or does not, and returns all that it is trusted with. Throws NOT-HIDDEN. */
  trust(sbdf: Sbdf, permissive: boolean): FilterMode {
    const entry = this.#expect(sbdf);
    const mode = { ...entry.mode, permissive };
    this.#put({ ...entry, mode });
    return mode;
  }

  /**
   * Lets the guest that has the function, or the next one, write a range of registers in addition.
   * @returns what has changed, and the mode that is in force now
   * @throws NOT-HIDDEN, or BAD-SPEC when the range cannot be had
   */
  addQuirk(quirk: Quirk): QuirkChange & { readonly mode: FilterMode } {
    const entry = this.#expect(quirk.sbdf);
    const change = withQuirk(entry.mode.quirks, quirk);
    if (!change.changed) return { ...change, mode: entry.mode };
    const mode = { ...entry.mode, quirks: change.quirks };
    compileFilter(entry.seized, mode);
    this.#put({ ...entry, mode });
    return { ...change, mode };
  }

  /** Notes that a function is being taken from its guest: whoever goes on after a death gives it to nobody before that is done. */
  leave(sbdf: Sbdf): void {
    this.#put({ ...this.#expect(sbdf), isLeaving: true });
  }

  /** Takes note of what the function's machine reported; the owner is known to it or the function is free. */
  update(sbdf: Sbdf, snapshot: Snapshot<unknown>): void {
    const entry = this.#entries.get(sbdf);
    if (!entry) return;
    const changed = { ...entry, snapshot, resettingSince: resettingSince(entry, snapshot) };
    // What one guest was trusted with says nothing of the next.
    const givenBack = contextOf(entry).owner !== null && stateOf(entry) === 'reset';
    const next = givenBack && contextOf(changed).owner === null ? { ...changed, mode: defaultMode } : changed;
    const isOver = stateOf(next) === 'hidden' || stateOf(next) === 'quarantined';
    const domain = stateOf(next) === 'hidden' ? undefined : next.domain;
    const noted = isOver ? { ...next, isLeaving: false, domain } : next;
    this.#put(noted, isSameLife(entry, next) ? 'soon' : 'now');
    if (isOver) this.#disown(sbdf);
  }

  /** Takes a function from its guest that cannot even be opened to be reset. */
  quarantine(sbdf: Sbdf, failure: FunctionFailure): void {
    const heldBy = this.#owners.get(sbdf) ?? null;
    const context: FunctionContext = { sbdf, owner: null, guestAddress: null, failure, heldBy };
    const snapshot = functionMachine.resolveState({ value: 'quarantined', context });
    const actor = createActor(functionMachine, { input: { sbdf }, snapshot });
    const snapshotNow = actor.getPersistedSnapshot();
    const settled = { mode: defaultMode, isLeaving: false, resettingSince: null };
    this.#put({ ...this.#expect(sbdf), ...settled, snapshot: snapshotNow });
    this.#disown(sbdf);
  }

  #disown(sbdf: Sbdf): void {
    const owner = this.#owners.get(sbdf);
    if (owner === undefined) return;
    if (owner !== hostOwner) this.#formerOwners.set(sbdf, owner);
    this.#owners.delete(sbdf);
    this.#lent.delete(sbdf);
    this.#released.next();
  }

  #expect(sbdf: Sbdf): Entry {
    const entry = this.#entries.get(sbdf);
    if (entry) return entry;
    throw new PcibackError(
      'NOT-HIDDEN',
      `${formatSbdf(sbdf)} has not been taken from its host driver`,
      `hide it: pciback hide ${formatSbdf(sbdf)}, or serve with --hide '(${formatSbdf(sbdf)})'`,
    );
  }

  #put(entry: Entry, urgency?: Urgency): void {
    this.#entries.set(entry.facts.sbdf, entry);
    this.#notes?.note(entry.facts.sbdf, lifeOf(entry));
    this.#store.put(formatSbdf(entry.facts.sbdf), entry, urgency);
  }
}

/**
 * Whether one guest has a function before and after a change, and may reach it. Whichever of the two a successor finds, it goes on in
 * the same way: a guest that comes and goes all the time need not have each time written.
 */
function isSameLife(before: Entry, after: Entry): boolean {
  const [former, present] = [contextOf(before), contextOf(after)];
  return (
    isExported(stateOf(before)) &&
    isExported(stateOf(after)) &&
    former.owner === present.owner &&
    former.guestAddress === present.guestAddress
  );
}

/** A reset that is begun again, because whoever began it died, is the same one to whoever waits for it. */
function resettingSince(entry: Entry, snapshot: Snapshot<unknown>): string | null {
  const state = stateOf({ ...entry, snapshot });
  if (state !== 'reset' && state !== 'connected.flr') return null;
  return (stateOf(entry) === state && entry.resettingSince) || new Date().toISOString();
}

function quarantined(entry: Entry): PcibackError {
  const name = formatSbdf(entry.facts.sbdf);
  const why = contextOf(entry).failure?.message ?? 'its reset failed';
  const remedy =
    entry.facts.resetMethods.length > 0
      ? `reset it first: pciback reset ${name}`
      : `only a power cycle resets it for certain; if its driver does, let it: pciback unhide --force ${name}, then hide it`;
  return new PcibackError('QUARANTINED', `${name} is quarantined: ${why}`, remedy);
}

function inUse(sbdf: Sbdf, owner: number): PcibackError {
  if (owner === hostOwner) {
    return new PcibackError(
      'FUNCTION-IN-USE',
      `${formatSbdf(sbdf)} is being reset`,
      'wait until that is done',
    );
  }
  return new PcibackError(
    'FUNCTION-IN-USE',
    `${formatSbdf(sbdf)} belongs to domain ${owner}`,
    `take it back first: pciback detach ${owner} ${formatSbdf(sbdf)}`,
  );
}
