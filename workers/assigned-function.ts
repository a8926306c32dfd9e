/** A function that a guest has: its filter, its hardware, and the machine that says where it stands. */
import { type Actor, createActor, fromPromise, waitFor } from 'xstate';
import {
  type FunctionContext,
  type FunctionEvent,
  type FunctionFailure,
  type FunctionState,
  type ResetInput,
  type ResetOutcome,
  failureOf,
  functionMachine,
  functionState,
  isExported,
} from '../machines/function.ts';
import type { Sbdf } from '../src/address.ts';
import {
  type CompiledFilter,
  type ConfigAccess,
  ConfigFilter,
  type FilterMode,
  FunctionRecord,
  compileFilter,
  isInD3hot,
  quiesce,
} from '../src/config-space/index.ts';
import { PcibackError } from '../src/errors.ts';
import { requireAnswer, unmapFile } from '../src/host/index.ts';
import type { Belongings, HostFunction, Platform, ReadableFunction } from '../src/host/platform.ts';
import { type ExportedFunction, type Pirqs, revoke } from '../src/ring/index.ts';
import { LateFunction } from './late-function.ts';
import type { Assignment, FromWorker } from './messages.ts';
import { isMilestone } from './milestone.ts';
import { Recovery } from './recovery.ts';
import { resetForGuest, resetToHidden, restoreForGuest } from './reset.ts';

interface Opened {
  readonly hardware: HostFunction;
  readonly filter: ConfigFilter;
}

export class AssignedFunction implements ExportedFunction {
  readonly sbdf: Sbdf;
  readonly guestAddress: Sbdf;
  readonly pirqs: Pirqs;
  readonly #platform: Platform;
  readonly #domid: number;
  readonly #assignment: Assignment;
  readonly #actor: Actor<typeof functionMachine>;
  readonly #report: (report: FromWorker) => void;
  readonly #others: () => readonly Belongings[];
  readonly #recovery = new Recovery(() => this.#restoreContext());
  #opened: Opened | undefined;
  #mappedRecord: ArrayBuffer | undefined;
  #resets: Promise<unknown> = Promise.resolve();
  /** Its guest comes to an end: nothing lets it reach for memory any more. */
  #isQuiesced = false;
  #state: FunctionState;
  #cause = 'adopted';
  /** Its domain has gone with all that it was given, and another one may have its id: what that one has is not taken from it. */
  #isOrphan = false;
  /** Vectors that the hypervisor did not give. */
  #refusals = 0;

  /** `others`: what belongs to the other functions that the guest has at that moment. */
  constructor(
    platform: Platform,
    domid: number,
    assignment: Assignment,
    report: (report: FromWorker) => void,
    others: () => readonly Belongings[] = () => [],
  ) {
    const { sbdf, guestAddress, snapshot } = assignment;
    this.sbdf = sbdf;
    this.guestAddress = guestAddress;
    this.#platform = platform;
    this.#domid = domid;
    this.#assignment = assignment;
    this.#report = report;
    this.#others = others;
    this.pirqs = {
      mapMsi: (entry, tableBase) => this.#mapMsi(entry, tableBase),
      unmap: (pirq) => {
        if (!this.#isOrphan) platform.unmapPirq(domid, pirq);
      },
      // A PV guest binds a line by the number that the host has for it (Linux drivers/pci/xen-pcifront.c, pcifront_scan_bus).
      intx: () => assignment.seized.irq,
    };
    const machine = functionMachine.provide({
      actors: {
        bind: fromPromise<void, FunctionContext>(async () => {
          await platform.underWay(sbdf);
          requireAnswer(this.#open('fresh').hardware);
          platform.assign(domid, this.belongings, others());
        }),
        reset: fromPromise<ResetOutcome, ResetInput>(({ input: { byGuest } }) => this.#reset(byGuest)),
      },
    });
    this.#actor = createActor(machine, { input: { sbdf }, snapshot });
    this.#state = functionState(this.#actor.getSnapshot().value);
  }

  get belongings(): Belongings {
    return { sbdf: this.sbdf, ...this.#assignment.seized };
  }

  get filter(): ConfigFilter {
    return this.#open('adopted').filter;
  }

  /** As reads see it, for as long as its guest is trusted as it is now. */
  get readable(): ReadableFunction {
    const { filter, hardware } = this.#open('adopted');
    return { address: this.guestAddress, table: filter.readTable, hardware };
  }

  /** For a virtual function its physical one decides, which is not ours to ask. */
  get decoder(): ConfigAccess | null {
    return this.#assignment.seized.virtualFunction ? null : this.filter.hardware;
  }

  /** Binds a hidden function; one that an earlier worker had goes on from where it was. */
  async bind(): Promise<void> {
    const { guestAddress } = this;
    // One that was cut short while it was bound has not had its record started for this guest.
    if (this.#state !== 'hidden') this.#open(this.#state === 'binding' ? 'fresh' : 'adopted');
    this.#actor.subscribe({
      next: (snapshot) => this.#tell(functionState(snapshot.value)),
      error: () => undefined,
    });
    this.#actor.on('resetDone', ({ outcome, byGuest }) =>
      this.#report({ is: 'reset', sbdf: this.sbdf, byGuest, ...outcome }),
    );
    this.#actor.start();
    if (this.#state === 'hidden') this.#send({ type: 'bind', owner: this.#domid, guestAddress });
    const bound = await waitFor(this.#actor, (snapshot) => !snapshot.matches('binding'), {
      timeout: Infinity,
    });
    const { failure } = bound.context;
    if (failure && (bound.matches('hidden') || bound.matches('quarantined'))) {
      this.letGo();
      const { reason, message, remedy = 'see the events of this function' } = failure;
      throw new PcibackError(reason, message, remedy);
    }
    this.#resumeReset();
  }

  /** Whether the guest may reach it. */
  get isExported(): boolean {
    return isExported(this.#state);
  }

  quiesce(): void {
    this.#isQuiesced = true;
    this.#recovery.cancel();
    if (this.#opened) quiesce(this.#opened.hardware);
  }

  connect(): void {
    this.#send({ type: 'connect' });
    this.#resumeReset();
  }

  /** A reset that the guest asked for just before its worker died is in the record only, and reads give ones until it is done. */
  #resumeReset(): void {
    if (this.#state === 'connected' && this.#opened?.filter.record.resetting) this.#send({ type: 'flr' });
  }

  disconnect(): void {
    this.#send({ type: 'disconnect' });
  }

  #mapMsi(entry: number, tableBase: bigint): number {
    const pirq = this.#platform.mapMsi(this.#domid, this.sbdf, entry, tableBase);
    if (pirq > 0) return pirq;
    this.#refusals += 1;
    if (isMilestone(this.#refusals)) {
      this.#report({ is: 'vectorRefused', sbdf: this.sbdf, errno: pirq, times: this.#refusals });
    }
    return pirq;
  }

  /** Trusts the guest so far from now on. What it has changed stays as it is: that is in the record. */
  trust(mode: FilterMode): void {
    const { hardware, filter } = this.#open('adopted');
    const table = compileFilter(this.#assignment.seized, mode);
    this.#opened = { hardware, filter: new ConfigFilter(table, hardware, filter.record, filter.effects) };
  }

  /** Takes the function back from the guest. Afterwards it is hidden, or quarantined when any of that failed. */
  async release(): Promise<void> {
    this.#send({ type: 'release' });
    await waitFor(this.#actor, (snapshot) => snapshot.matches('hidden') || snapshot.matches('quarantined'), {
      timeout: Infinity,
    });
    this.letGo();
  }

  /** Leaves the function as it is. */
  letGo(): void {
    this.#actor.stop();
    this.#recovery.cancel();
    this.#opened?.hardware.close();
    this.#opened = undefined;
    this.#unmapRecord();
  }

  #send(event: FunctionEvent): void {
    this.#cause = event.type;
    this.#actor.send(event);
  }

  #tell(to: FunctionState): void {
    const from = this.#state;
    if (to === from) return;
    this.#state = to;
    this.#report({
      is: 'function',
      sbdf: this.sbdf,
      from,
      to,
      cause: this.#cause,
      snapshot: this.#actor.getPersistedSnapshot(),
    });
    this.#cause = 'done';
  }

  /** Opens the hardware and puts the filter before it. `fresh`: for a new guest; nothing of the last one's is seen by it. */
  #open(record: 'fresh' | 'adopted'): Opened {
    if (this.#opened) return this.#opened;
    const hardware = this.#openHardware();
    try {
      const filter = this.#filterBefore(hardware, record);
      this.#opened = { hardware, filter };
      // Its worker died before it was restored.
      if (filter.record.contextLost) this.#recovery.begin();
      return this.#opened;
    } catch (error) {
      hardware.close();
      this.#unmapRecord();
      throw error;
    }
  }

  #filterBefore(hardware: HostFunction, record: 'fresh' | 'adopted'): ConfigFilter {
    const { seized, mode } = this.#assignment;
    const table = compileFilter(seized, mode);
    return new ConfigFilter(table, hardware, this.#record(record, table), {
      resetRequested: () => this.#send({ type: 'flr' }),
      contextLost: () => this.#recovery.begin(),
    });
  }

  /** Nobody waits for what the kernel still does for an earlier worker: the guest has other functions. */
  #openHardware(): HostFunction {
    const length = this.#assignment.seized.config.length > 256 ? 4096 : 256;
    const open = (): HostFunction => this.#platform.openFunction(this.sbdf);
    const end = this.#platform.underWay(this.sbdf);
    return end ? new LateFunction(this.sbdf, length, end, open) : open();
  }

  #record(how: 'fresh' | 'adopted', table: CompiledFilter): FunctionRecord {
    const buffer = this.#platform.mapRecord(this.sbdf);
    this.#mappedRecord = buffer;
    const adopted = how === 'adopted' ? FunctionRecord.adopt(buffer) : undefined;
    if (!adopted) return FunctionRecord.create(buffer, table.initialCommand);
    for (let vector = 0; vector < adopted.vectors; vector++) {
      this.#platform.claimPirq(this.#domid, adopted.pirq(vector));
    }
    return adopted;
  }

  /** What is still to come of a reset that is under way finds no record any more: that is its successor's. */
  #unmapRecord(): void {
    if (this.#mappedRecord) unmapFile(this.#mappedRecord);
    this.#mappedRecord = undefined;
  }

  /**
   * Out of D3hot the function is as after power-up. A function that has been taken away meanwhile gets nothing back, one that is in D3hot
   * again only when it leaves that, and one of which it fails is reset.
   */
  #restoreContext(): void {
    const { hardware, filter } = this.#open('adopted');
    if (!this.isExported || filter.record.resetting || isInD3hot(filter)) return;
    try {
      restoreForGuest(hardware, filter);
    } catch {
      filter.record.resetting = true;
      this.#resumeReset();
    }
  }

  /**
   * Resets come one after the other: one that the guest asked for runs to its end when the function is taken away meanwhile, but
   * gives the guest nothing back.
   */
  #reset(byGuest: boolean): Promise<ResetOutcome> {
    const { hardware, filter } = this.#open('adopted');
    this.#recovery.cancel();
    if (!byGuest) quiesce(hardware);
    const before = this.#resets;
    const outcome = (async () => {
      await before;
      const isWanted = (): boolean => this.#state === 'connected.flr' && !this.#isQuiesced;
      if (byGuest) {
        await ready(hardware);
        return resetForGuest(hardware, filter, isWanted);
      }
      return this.#takeBack(hardware);
    })();
    this.#resets = outcome.catch(() => undefined);
    return outcome;
  }

  /** Whatever of it fails, the rest is done: the less is left between the function and the guest the better. */
  async #takeBack(hardware: HostFunction): Promise<ResetOutcome> {
    const failures: unknown[] = [];
    const attempt = async <T>(step: () => T): Promise<Awaited<T> | undefined> => {
      try {
        return await step();
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    };
    await attempt(() => ready(hardware));
    const { domain } = this.#assignment;
    this.#isOrphan =
      domain !== undefined &&
      (await attempt(() => this.#platform.domainIdentity(this.#domid) !== domain)) === true;
    await attempt(() => revoke(this));
    if (!this.#isOrphan) {
      await attempt(() => this.#platform.revoke(this.#domid, this.belongings, this.#others()));
    }
    const outcome = await attempt(() => resetToHidden(hardware, this.#assignment.seized));
    await attempt(() => this.#platform.deassign(this.#domid, this.sbdf));
    if (outcome && failures.length === 0) return outcome;
    throw asOne(failures.map(failureOf));
  }
}

async function ready(hardware: HostFunction): Promise<void> {
  if (hardware instanceof LateFunction) await hardware.ready();
}

/** Tells of all that failed; the first of it is what to begin with. */
function asOne([first, ...more]: readonly FunctionFailure[]): PcibackError {
  const message = [first, ...more].map((failure) => failure?.message).join('; ');
  return new PcibackError(first?.reason ?? 'INTERNAL', message, first?.remedy ?? 'see the log of the daemon');
}
