/** The functions of one guest: where they stand on its bus, and which of them its present worker has in hand. */
import { failureOf } from '../../machines/function.ts';
import { type Sbdf, formatSbdf } from '../address.ts';
import { type BackendEvent, makeEvent } from '../monitor/events.ts';
import type { FilterMode } from '../config-space/index.ts';
import type { FunctionFacts } from '../host/index.ts';
import { candidate } from './candidate.ts';
import {
  type BridgeMap,
  type Root,
  type Topology,
  type TopologyKind,
  makeTopology,
} from '../topology/index.ts';
import { isEnding } from './fence.ts';
import type { GuestWorker } from './guest-worker.ts';
import type { HostFunctions } from './host-functions.ts';
import { type Registry, contextOf, stateOf, wasGivenToAnother } from './registry.ts';
import { type PendingWait, type Wait, WaitClock } from './waits.ts';

/** Milliseconds that a function which still is another guest's is waited for: a guest may close, and a reset takes its time. */
const handOverPatience = 10_000;

export interface FunctionsHost {
  readonly registry: Registry;
  readonly topology: TopologyKind;
  readonly bridges: () => BridgeMap;
  readonly emit: (event: BackendEvent) => void;
  readonly host: Pick<HostFunctions, 'requireHeld' | 'requireIsolated'>;
}

export class GuestFunctions {
  readonly #registry: Registry;
  readonly #domid: number;
  readonly #domain: string | null;
  readonly #topology: Topology;
  readonly #worker: () => GuestWorker;
  readonly #emit: (event: BackendEvent) => void;
  readonly #host: Pick<HostFunctions, 'requireHeld' | 'requireIsolated'>;
  readonly #inHand = new Set<Sbdf>();
  readonly #handOver = new WaitClock();

  /** `worker` gives the guest's present worker, and starts one when there is none; `domain` tells the guest from others of its id. */
  constructor(
    { registry, topology, bridges, emit, host }: FunctionsHost,
    domid: number,
    worker: () => GuestWorker,
    domain: string | null = null,
  ) {
    this.#registry = registry;
    this.#domid = domid;
    this.#domain = domain;
    this.#topology = makeTopology(topology, bridges());
    this.#worker = worker;
    this.#emit = emit;
    this.#host = host;
  }

  /** Those that have an address on the guest's bus. */
  exported(): readonly Sbdf[] {
    return this.#registry
      .ownedBy(this.#domid)
      .filter((sbdf) => this.#topology.guestAddressOf(sbdf) !== undefined);
  }

  /** Those that belong to this domain id without being on this bus: a domain that had the id before left them. */
  leftovers(): readonly Sbdf[] {
    return this.#registry
      .ownedBy(this.#domid)
      .filter((sbdf) => this.#topology.guestAddressOf(sbdf) === undefined);
  }

  /** Those of a domain that had this id before, wherever they are: nothing of it goes on to this one. */
  formerDomains(): readonly Sbdf[] {
    return this.#registry.ownedBy(this.#domid).filter((sbdf) => {
      const entry = this.#registry.get(sbdf);
      return entry !== undefined && wasGivenToAnother(entry, this.#domain);
    });
  }

  /** Whether it was being taken away when the one who did that was killed: it never goes back on the bus. */
  isLeaving(sbdf: Sbdf): boolean {
    const entry = this.#registry.get(sbdf);
    return entry !== undefined && (entry.isLeaving === true || stateOf(entry) === 'reset');
  }

  guestAddressOf(sbdf: Sbdf): Sbdf | undefined {
    return this.#topology.guestAddressOf(sbdf);
  }

  roots(): readonly Root[] {
    return this.#topology.roots();
  }

  /** A function that this guest is to get is still another's. */
  get wait(): PendingWait | null {
    return this.#handOver.pending;
  }

  /**
   * Makes a function this guest's and puts it on its bus; one that another guest is giving back is waited for. Rejects with
   * what keeps it from that, and nothing is changed.
   */
  async take(sbdf: Sbdf, requestedDevfn: number, permissive: boolean): Promise<Sbdf> {
    const { facts } = await this.#registry.claimInTurn(
      sbdf,
      this.#domid,
      this.#domain,
      handOverPatience,
      (owner) => {
        this.#handOver.note(owner === null ? null : handOver(sbdf, owner));
      },
    );
    try {
      // Other hands may have taken it meanwhile.
      this.#host.requireHeld(sbdf);
      // What shares pages with it may have become somebody else's while it was waited for.
      this.#host.requireIsolated(sbdf, this.#domid);
      const guestAddress = this.#topology.place(candidate(facts), requestedDevfn);
      await this.#bind(sbdf, guestAddress, permissive);
      return guestAddress;
    } catch (error) {
      if (!this.#inHand.has(sbdf)) this.#topology.remove(sbdf);
      this.#registry.disclaim(sbdf, this.#domid);
      throw error;
    }
  }

  /**
   * Checks that all of these have a place on the bus beside those that are there; none of them is put there.
   * @throws BRIDGE or NO-SLOT
   */
  requirePlaces(wanted: readonly { readonly facts: FunctionFacts; readonly devfn: number }[]): void {
    const tried: Sbdf[] = [];
    try {
      for (const { facts, devfn } of wanted) {
        if (this.#topology.guestAddressOf(facts.sbdf) !== undefined) continue;
        this.#topology.place(candidate(facts), devfn);
        tried.push(facts.sbdf);
      }
    } finally {
      for (const sbdf of tried) this.#topology.remove(sbdf);
    }
  }

  /** The present worker has gone on with these by itself. */
  resume(sbdfs: readonly Sbdf[]): void {
    for (const sbdf of sbdfs) this.#inHand.add(sbdf);
  }

  /** Takes over a function that an earlier back-end or worker had put on the bus. */
  async restore(sbdf: Sbdf, vdev: Sbdf | undefined, permissive: boolean): Promise<void> {
    const entry = this.#registry.claim(sbdf, this.#domid);
    const guestAddress = contextOf(entry).guestAddress ?? vdev;
    if (guestAddress === undefined || guestAddress === null) return;
    this.#topology.occupy(candidate(entry.facts), guestAddress);
    // What it is trusted with may have changed since the worker went on with it.
    if (this.#inHand.has(sbdf)) return this.trust(sbdf, this.#registry.trust(sbdf, permissive));
    await this.#bind(sbdf, guestAddress, permissive);
  }

  /** Resets functions and makes them nobody's, all at once. */
  async giveBack(...sbdfs: readonly Sbdf[]): Promise<void> {
    if (sbdfs.length === 0) return;
    for (const sbdf of sbdfs) {
      const { guestAddress } = contextOf(this.#registry.claim(sbdf, this.#domid));
      const present = this.#topology.guestAddressOf(sbdf) ?? guestAddress;
      if (present !== null) await this.#bindOrQuarantine(sbdf, present);
    }
    for (const sbdf of sbdfs) if (this.#registry.ownerOf(sbdf) === this.#domid) this.#registry.leave(sbdf);
    await this.#worker().step({ do: 'release', sbdfs });
    for (const sbdf of sbdfs) {
      this.#inHand.delete(sbdf);
      this.#topology.remove(sbdf);
      this.#registry.disclaim(sbdf, this.#domid);
    }
  }

  /** A function that is not there any more can neither be reset nor be anybody's. */
  async #bindOrQuarantine(sbdf: Sbdf, guestAddress: Sbdf): Promise<void> {
    try {
      await this.#bind(sbdf, guestAddress, false);
    } catch (error) {
      const failure = failureOf(error);
      if (isEnding(error)) throw error;
      const from = stateOf(this.#registry.claim(sbdf, this.#domid));
      this.#registry.quarantine(sbdf, failure);
      const details = { sbdf, domid: this.#domid, ...failure };
      this.#emit(makeEvent('function.state', { ...details, from, to: 'quarantined', cause: 'release' }));
      this.#emit(makeEvent('reset.failed', { ...details, data: { byGuest: false } }));
    }
  }

  /** Trusts the guest further with a function that it has. */
  async trust(sbdf: Sbdf, mode: FilterMode): Promise<void> {
    if (this.#inHand.has(sbdf)) await this.#worker().step({ do: 'trust', sbdf, mode });
  }

  /** Whether the present worker has it in hand. */
  isInHand(sbdf: Sbdf): boolean {
    return this.#inHand.has(sbdf);
  }

  workerLost(): void {
    this.#inHand.clear();
  }

  /** Makes sure that the present worker has the function: newly bound, or as its stored machine says. */
  async #bind(sbdf: Sbdf, guestAddress: Sbdf, permissive: boolean): Promise<void> {
    if (this.#inHand.has(sbdf)) return;
    const { seized, snapshot, domain } = this.#registry.claim(sbdf, this.#domid);
    const mode = this.#registry.trust(sbdf, permissive);
    await this.#worker().step({
      do: 'bind',
      assignment: { sbdf, guestAddress, seized, snapshot, mode, domain },
    });
    this.#inHand.add(sbdf);
    // An administrator may have added to it meanwhile.
    const present = this.#registry.get(sbdf)?.mode;
    if (present && present !== mode) await this.trust(sbdf, present);
  }
}

const handOver = (sbdf: Sbdf, owner: number): Wait => ({
  for: `domain ${owner}, to give ${formatSbdf(sbdf)} back`,
  kind: 'turn',
});
