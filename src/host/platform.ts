/**
 * What the back-end needs from the machine it runs on. Two providers exist: `xen` talks to the hypervisor, `loopback` is
 * "a hypervisor in a directory". Everything above this file is the same for both.
 */
import { join } from 'node:path';
import type { Sbdf } from '../address.ts';
import type { ConfigAccess, ReadTable, Resource } from '../config-space/access.ts';
import type { FormerBinding, StubChange } from './driver-binding.ts';
import type { Inventory } from './sysfs.ts';

/** What is known of a PCI function before anybody touches it. Plain data: it crosses threads and is stored. */
export interface FunctionFacts {
  readonly sbdf: Sbdf;
  readonly vendor: number;
  readonly device: number;
  readonly subsystemVendor: number;
  readonly subsystemDevice: number;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number;
  readonly revision: number;
  /** The first 64, 256 or 4096 bytes: as many as the host lets us read. */
  readonly config: Uint8Array;
  readonly resources: readonly Resource[];
  /** The host's number for the legacy interrupt; 0 when the function has none. */
  readonly irq: number;
  /** Address of the physical function when this is an SR-IOV virtual function. */
  readonly physicalFunction: Sbdf | null;
  /** Name of the host's driver; null when none is bound. */
  readonly driver: string | null;
  /** Reset methods in the order the host would try them: `flr`, `af_flr`, `pm`, `bus`, `device_specific`, `acpi`. */
  readonly resetMethods: readonly string[];
  /** Where the facts come from. */
  readonly origin: 'host' | 'tree' | 'capture';
}

/** One function that has been seized: its configuration space, and the operations that go beyond it. */
export interface HostFunction extends ConfigAccess {
  readonly sbdf: Sbdf;
  /** As they are now. Throws NOT-ANSWERING. */
  readonly facts: FunctionFacts;
  /** Methods by which it can be reset now, in the order in which the host would try them: whether it answers or not. */
  readonly resetMethods: readonly string[];
  /** The file that its registers are read from, where the addon can do that by itself. */
  readonly file?: unknown;
  /** Resets by the given method. Configuration space is afterwards as after power-up; the caller restores it. */
  reset(method: string): Promise<void>;
  /**
   * Puts the addresses and data of message-signalled vectors back that a reset has wiped out, before the function is allowed to
   * signal again. Where a hypervisor keeps them, only it can.
   */
  restoreVectors(): void;
  close(): void;
}

/** A function on a guest's bus, as far as reads of its registers go. */
export interface ReadableFunction {
  /** The guest's. */
  readonly address: Sbdf;
  readonly table: ReadTable;
  readonly hardware: Pick<HostFunction, 'file'>;
}

/**
 * What a look at the shared page found: nothing, a request (now in `op`), that the page is gone, or as many requests as it was to answer
 * by itself.
 */
export type Look = 'idle' | 'request' | 'vanished' | 'busy';
/** What became of an answer. `abandoned`: the front-end had given the request up, nothing was written. */
export type Answer = 'published' | 'abandoned' | 'vanished';

/**
 * The back-end's end of one guest's shared page and event channel. The page itself is never visible to JavaScript: a
 * request is copied out as a whole, and decided on from that copy (XSA-155).
 */
export interface Ring {
  /** The local end of the event channel; what a killed process leaves of it, a successor discards by this number. */
  readonly localPort: number;
  /** The copy: 137 words in the order of `OpWord`. Valid after a look that found a request. */
  readonly op: Int32Array;
  /**
   * From now on looks answer by themselves what takes no decision: requests of any kind for an address where none of these functions is,
   * and reads of their registers, live ones only where there is a `file`. To be called before the guest may expect an answer.
   */
  answerReads(functions: readonly ReadableFunction[]): void;
  /** Requests that looks have answered by themselves, modulo 2^32. */
  readonly answered: number;
  /** Likewise, of those that the front-end had given up. */
  readonly abandoned: number;
  /** What they have spent of their batches, modulo 2^32. */
  readonly spent: number;
  /**
   * Looks at the page up to `turns` times (at least once) without sleeping. One turn takes some tens of nanoseconds. After each request
   * that it answers by itself it looks for the next, longer each time that takes longer than `hurry` turns, up to `mostTurns`. A front-end
   * whose next request comes within `hurry` turns has seen the answer, and is not notified of it; who is slower than that, is. It does so
   * until `batch` (1) is spent: a request that it answers counts one, and so do 64 turns of waiting for any.
   */
  look(turns: number, mostTurns?: number, batch?: number, hurry?: number): Look;
  /**
   * Writes `err` and `value`, the first `vectors` entries of `op`'s MSI-X array, then clears bit 0 and notifies. Does
   * nothing when bit 0 is clear already or the request in the page is no longer the one that was copied.
   */
  answer(err: number, value: number, vectors: number): Answer;
  /** Unmasks the event channel: `wake` is called again for the next event. Until then events stay pending. */
  rearm(): void;
  /** Signals the front-end without an answer; used once after an adoption, when the answer may have gone unannounced. */
  notify(): void;
  /** Unbinds and unmaps. May be called twice, and in any state. */
  close(): void;
}

/** What a domain is doing. One that was shut down answers nothing any more, but still has its memory. */
export type DomainState = 'absent' | 'running' | 'shutdown' | 'dying';

/** What has to be remembered of a function to give it back as it was. Plain data: it is stored. */
export interface Taken {
  /** As the function is now that no driver of the host has it; `driver` names the one that had it. */
  readonly facts: FunctionFacts;
  /** Null when there is nothing to put back. */
  readonly former: FormerBinding | null;
  /** A driver of the host may have left it at work. */
  readonly wasDriven: boolean;
}

/** What a guest gets along with a function: everything but its configuration space. */
export interface Belongings {
  readonly sbdf: Sbdf;
  readonly resources: readonly Resource[];
  /** The host's number for the legacy interrupt; 0 when the function has none. */
  readonly irq: number;
}

/** What a worker thread needs of the machine. Every thread opens its own. */
export interface Platform {
  readonly kind: 'loopback' | 'xen';
  /** The functions that this machine has now; null where they are what they were at the start. */
  inventory(): Inventory | null;
  /** One of them. Throws NO-SUCH-FUNCTION. */
  factsOf(sbdf: Sbdf): FunctionFacts | null;
  /** The IDs of the function that is at this address now; null when there is none, undefined where functions do not come and go. */
  identityOf(sbdf: Sbdf): Pick<FunctionFacts, 'vendor' | 'device'> | null | undefined;
  /** The functions that would vanish along with it, were its driver to let go of it: virtual ones, those behind a bridge or in a VMD. */
  functionsBelow(sbdf: Sbdf): readonly Sbdf[];
  /** The driver of the host that has it now; null when none has, or there are no drivers. */
  driverOf(sbdf: Sbdf): string | null;
  /**
   * Takes a function from its host driver, so that it can be opened and seized; one that is taken already stays as it is. Rejects
   * with HOST-USES-IT unless it is `force`d, with FUNCTION-IN-USE when it has been assigned to another guest than the one it is taken
   * for, and with everything undone when that cannot be done.
   */
  takeFromHost(facts: FunctionFacts, force: boolean, guest?: number): Promise<Taken>;
  /**
   * Moves a hidden function that nobody has to the stub that the toolstack looks for; null when that one has it. Rejects with
   * FUNCTION-IN-USE when another toolstack has assigned it to a guest, or DRIVER-BINDING, and the first stub has it again.
   */
  changeStub(facts: FunctionFacts): Promise<StubChange | null>;
  /**
   * Does again what `takeFromHost` does to a function when the host's driver has let go of it; what is so already stays so. Throws
   * FUNCTION-IN-USE when another toolstack has assigned it to a guest, or HYPERCALL-FAILED.
   */
  hold(facts: FunctionFacts): void;
  /**
   * Throws FUNCTION-IN-USE when another toolstack has assigned a function to a guest that is none of ours. From `guest`, which had it
   * last, it is taken.
   */
  requireUnassigned(sbdf: Sbdf, guest?: number): void;
  /** Gives it back to the driver that had it. Rejects with FUNCTION-IN-USE when a guest has it by other hands. */
  returnToHost(taken: Taken): Promise<void>;
  /**
   * Gives a guest the function: its memory, ports and legacy interrupt, and to the function the guest's memory to reach for. All or
   * nothing; what the guest has already, with `others` too, it keeps. Throws NOT-HIDDEN, NO-PASSTHROUGH, FUNCTION-IN-USE or
   * HYPERCALL-FAILED; QUARANTINED when it could not be undone.
   */
  assign(domid: number, belongings: Belongings, others: readonly Belongings[]): void;
  /**
   * The guest is allowed no register of the function any more, but for pages and a line that it has with `others` as well. Comes
   * before the reset. Throws HYPERCALL-FAILED.
   */
  revoke(domid: number, belongings: Belongings, others: readonly Belongings[]): void;
  /**
   * The function reaches nothing of the guest any more. Comes after its reset, whatever that came to. One that a toolstack has
   * deassigned, or that was taken from a dead domain, is not the guest's any more. Throws HYPERCALL-FAILED.
   */
  deassign(domid: number, sbdf: Sbdf): void;
  domainState(domid: number): DomainState;
  /** How long the processors of a domain have run so far, in seconds; 0 where nobody counts. Throws HYPERCALL-FAILED. */
  processorSeconds(domid: number): number;
  /** Stops a domain, or undoes that. Pauses are counted, those of a toolstack too. Throws HYPERCALL-FAILED. */
  pauseDomain(domid: number, pause: boolean): void;
  /** Whether the host's own back-end picks up the PCI device of every guest, some moments after it was made. */
  kernelBinds(): boolean;
  /** Resolves when it has picked up the device whose directory has just been made, or when it will not. */
  awaitKernel(domid: number): Promise<void>;
  /** Whether the host knows the PCI device of a guest, with or without a driver. */
  kernelKnows(domid: number): boolean;
  /**
   * Tells a domain from the next one that has its id. It stays the same for as long as the domain runs.
   * @returns null when there is no such domain
   * @throws PcibackError HYPERCALL-FAILED
   */
  domainIdentity(domid: number): string | null;
  /** Whether the host's own back-end has picked up the PCI device of a guest. */
  kernelServes(domid: number): boolean;
  /** Takes the PCI device of a guest from the host's own back-end, which leaves its directory in Closed. */
  takeFromKernel(domid: number): Promise<void>;
  /**
   * The end of what the kernel is doing with a function because this process or an earlier one has asked for it: a reset, or taking it from
   * a driver. Undefined when there is nothing. Until then nobody opens it: the kernel would hold the thread up.
   */
  underWay(sbdf: Sbdf): Promise<void> | undefined;
  /** Takes the seized function in hand. Throws NO-SUCH-FUNCTION. */
  openFunction(sbdf: Sbdf): HostFunction;
  /** Maps the page and binds the port. Throws GRANT-FAILED, EVENT-CHANNEL-FAILED or OUT-OF-RESOURCES. `wake` runs on this thread's event loop. */
  openRing(domid: number, grantRef: number, port: number, wake: () => void): Ring;
  /** Removes a local port that a process which was killed had bound. A hypervisor does that by itself. */
  discardPort(port: number): void;
  /**
   * Makes a pirq of the guest for one message-signalled vector: a number > 0, or a negative errno. `entry` is the MSI-X table
   * entry, or -1 for MSI; `tableBase` is the start of the BAR with the MSI-X table, or 0n.
   */
  mapMsi(domid: number, sbdf: Sbdf, entry: number, tableBase: bigint): number;
  unmapPirq(domid: number, pirq: number): void;
  /**
   * Signals a vector in the place of hardware, where that is simulated: whether the guest was listening. Always false where
   * functions signal by themselves.
   */
  signal(domid: number, pirq: number): boolean;
  /** Takes note of a pirq that an earlier process mapped, and that the guest still has. */
  claimPirq(domid: number, pirq: number): void;
  /** Forgets whatever a domain still holds; it is gone, or has no functions any more. */
  releaseDomain(domid: number): void;
  /**
   * 8192 bytes that belong to this function and outlive the process: its record of what requests changed. To be given back with
   * `unmapFile`. Throws BAD-DIRECTORY or OUT-OF-RESOURCES.
   */
  mapRecord(sbdf: Sbdf): ArrayBuffer;
  close(): void;
}

/** How a thread opens its platform; plain data, so that it can be sent to a worker. */
export type PlatformOptions =
  | {
      readonly kind: 'loopback';
      readonly directory: string;
      /** Where records and models are. Default: `state` in the directory. */
      readonly stateDirectory?: string;
    }
  /** A loopback platform to try everything on before it is done on Xen. */
  | { readonly kind: 'rehearsal'; readonly directory: string }
  | {
      readonly kind: 'xen';
      /** What is served, as far as names go. Default: `xenDirectory`. */
      readonly directory?: string;
      /** Where state is kept that must not outlive a boot. Default: `state` in the directory. */
      readonly stateDirectory?: string;
      /** Export functions although nothing keeps them from reaching all memory. */
      readonly withoutIommu?: boolean;
    };

/** Domain ids start again with a boot, and so does what is kept of them. */
export const xenDirectory = '/run/pciback';

/** Where state is kept unless another place was named. */
export const stateDirectoryIn = (directory: string): string => join(directory, 'state');
