/** The connection to the hypervisor: rings for guests, pirqs for their interrupts. One per thread. */
import { getSystemErrorName } from 'node:util';
import { PcibackError } from '../errors.ts';
import type { Reason } from '../errors.ts';
import { exhaustion } from './exhaustion.ts';
import { answers, domainStates, isNativeError, looks, nativeAddon } from './native.ts';
import type { NativeHypervisor, NativeRing } from './native.ts';
import type { Answer, DomainState, Look, ReadableFunction, Ring } from './platform.ts';
import { xenRefusal } from './xen-refusal.ts';
import type { Sbdf } from '../address.ts';

const failures: Record<string, { reason: Reason; what: string; remedy: string } | undefined> = {
  map_grant: {
    reason: 'GRANT-FAILED',
    what: 'cannot map the page',
    remedy: 'check the pci-op-ref that the front-end wrote; its page may be gone already',
  },
  bind_interdomain: {
    reason: 'EVENT-CHANNEL-FAILED',
    what: 'cannot bind the event channel',
    remedy: 'check the event-channel that the front-end wrote; its port may be closed already',
  },
};

class NativeBackedRing implements Ring {
  readonly op: Int32Array;
  readonly localPort: number;
  readonly #native: NativeRing;

  constructor(native: NativeRing) {
    this.#native = native;
    this.op = native.op;
    this.localPort = native.localPort;
  }

  look(turns: number, mostTurns = turns, batch = 1, hurry = 1): Look {
    return looks[this.#native.look(turns, mostTurns, batch, hurry)] ?? 'vanished';
  }

  answerReads(functions: readonly ReadableFunction[]): void {
    this.#native.answerReads(
      functions.map(({ address, table, hardware }) => ({ address, ...table, hardware: hardware.file })),
    );
  }

  get answered(): number {
    return this.#native.tally[0] ?? 0;
  }

  get abandoned(): number {
    return this.#native.tally[1] ?? 0;
  }

  get spent(): number {
    return this.#native.tally[2] ?? 0;
  }

  answer(err: number, value: number, vectors: number): Answer {
    return answers[this.#native.answer(err, value, vectors)] ?? 'vanished';
  }

  rearm(): void {
    this.#native.rearm();
  }

  notify(): void {
    this.#native.notify();
  }

  close(): void {
    this.#native.close();
  }
}

/** A native thread that serves a ring. */
export interface Responder {
  /** Ends the thread and returns the number of requests it answered; 0 when it has ended already. */
  stop(): number;
}

function explained<T>(domid: number, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    const exhausted = exhaustion(cause, `the page and the event channel of domain ${domid} cannot be had`);
    if (exhausted) throw exhausted;
    const failure = isNativeError(cause) ? failures[cause.syscall] : undefined;
    if (!failure || !(cause instanceof Error)) throw cause;
    const message = `${failure.what} of domain ${domid}: ${cause.message}`;
    throw new PcibackError(failure.reason, message, failure.remedy, { cause });
  }
}

/** A number that is an answer unless it is a negative errno. */
function said(answer: number, what: string): number {
  if (answer >= 0) return answer;
  const message = `the hypervisor does not tell ${what}: ${getSystemErrorName(answer)}`;
  throw new PcibackError('HYPERCALL-FAILED', message, 'see what Xen says of it: xl dmesg');
}

export class Hypervisor {
  readonly #native: NativeHypervisor;

  private constructor(native: NativeHypervisor) {
    this.#native = native;
  }

  /**
   * "A hypervisor in a directory", as domain 0.
   * @throws PcibackError BAD-DIRECTORY, NO-NATIVE-ADDON
   */
  static loopback(directory: string): Hypervisor {
    const { Hypervisor: Native } = nativeAddon();
    try {
      return new Hypervisor(new Native('loopback', directory));
    } catch (cause) {
      if (!isNativeError(cause)) throw cause;
      const remedy = 'name an existing directory; "pciback serve --loopback" fills it';
      throw new PcibackError('BAD-DIRECTORY', `cannot use ${directory}: ${cause.message}`, remedy, { cause });
    }
  }

  /**
   * Xen, from its domain 0, through the libraries of the release that runs. `root` stands for the root of the file system.
   * @throws PcibackError NO-XEN, NO-PERMISSION, NO-NATIVE-ADDON
   */
  static xen(root = '/'): Hypervisor {
    const { Hypervisor: Native } = nativeAddon();
    try {
      return new Hypervisor(new Native('xen', root));
    } catch (cause) {
      throw isNativeError(cause) ? xenRefusal(cause) : cause;
    }
  }

  /**
   * Maps the page that the domain granted and binds its event channel. `wake` is called on this thread's event loop, once at
   * first and then once per `rearm`.
   * @throws PcibackError GRANT-FAILED, EVENT-CHANNEL-FAILED, OUT-OF-RESOURCES
   */
  openRing(domid: number, grantRef: number, port: number, wake: () => void): Ring {
    return explained(domid, () => new NativeBackedRing(this.#native.openRing(domid, grantRef, port, wake)));
  }

  /**
   * Serves the ring from a thread without JavaScript, which answers conf_read from the 4096 bytes of `config` and nothing else:
   * what a benchmark compares with. Call `stop` to end it; it returns the number of requests answered.
   * @throws PcibackError GRANT-FAILED, EVENT-CHANNEL-FAILED, OUT-OF-RESOURCES
   */
  startResponder(domid: number, grantRef: number, port: number, config: Uint8Array): Responder {
    return explained(domid, () => this.#native.startResponder(domid, grantRef, port, config));
  }

  /** Removes a local port that a killed predecessor had bound (`localPort` of its ring). */
  discardPort(port: number): void {
    this.#native.discardPort(port);
  }

  /** A pirq of the guest for one message-signalled vector: a number > 0, or a negative errno. */
  mapMsi(domid: number, sbdf: Sbdf, entry: number, tableBase: bigint): number {
    return this.#native.mapMsi(domid, sbdf, entry, tableBase);
  }

  /** Gives a pirq back: 0, or a negative errno (-22: the domain does not hold it). */
  unmapPirq(domid: number, pirq: number): number {
    return this.#native.unmapPirq(domid, pirq);
  }

  /** Registers a pirq that an earlier process mapped for the domain: 0, or a negative errno. */
  claimPirq(domid: number, pirq: number): number {
    return this.#native.claimPirq(domid, pirq);
  }

  /** Forgets all pirqs of a domain that is gone. */
  releasePirqs(domid: number): void {
    this.#native.releasePirqs(domid);
  }

  /** Delivers an interrupt in place of the hardware. False: the guest has not bound the pirq, so it is lost. */
  raisePirq(domid: number, pirq: number): boolean {
    return this.#native.raisePirq(domid, pirq);
  }

  /** Gives the guest the host's legacy interrupt `gsi`: the guest's pirq > 0, or a negative errno. */
  mapGsi(domid: number, gsi: number): number {
    return this.#native.mapGsi(domid, gsi);
  }

  /**
   * Tells Xen of the function's MSI-X table, which it then keeps from guests: 0, or a negative errno (-16: it has been told, or
   * vectors are mapped). Without it vectors cannot be mapped (-61). The function must decode memory, and must have the MSI-X
   * capability: Xen does not look before it follows a null pointer (xen/arch/x86/msi.c, pci_prepare_msix).
   */
  prepareMsix(sbdf: Sbdf): number {
    return this.#native.prepareMsix(sbdf);
  }

  /** Ends what `prepareMsix` began, under the same condition: 0, or a negative errno (-16: vectors are mapped). */
  releaseMsix(sbdf: Sbdf): number {
    return this.#native.releaseMsix(sbdf);
  }

  /**
   * Has Xen write the vectors that are mapped into the function again, after a reset: 0, or a negative errno (-6: the function
   * does not decode memory; -95: Xen runs with msi=off).
   */
  restoreMsi(sbdf: Sbdf): number {
    return this.#native.restoreMsi(sbdf);
  }

  /** Gives the function to a domain, or to DOMID_IO, which is quarantine: 0, or a negative errno (-16: another guest has it; -95: no IOMMU). */
  assignDevice(domid: number, sbdf: Sbdf): number {
    return this.#native.assignDevice(domid, sbdf);
  }

  /** Takes the function from a domain, or from DOMID_IO: 0, or a negative errno. Xen may put it into quarantine. */
  deassignDevice(domid: number, sbdf: Sbdf): number {
    return this.#native.deassignDevice(domid, sbdf);
  }

  /** Lets a domain map `size` bytes of the host's memory space, or no longer: 0, or a negative errno. Rounded out to pages. */
  memoryPermission(domid: number, start: bigint, size: bigint, allow: boolean): number {
    return this.#native.memoryPermission(domid, start, size, allow);
  }

  /** Lets a domain use `count` I/O ports of the host, or no longer: 0, or a negative errno. */
  portPermission(domid: number, first: number, count: number, allow: boolean): number {
    return this.#native.portPermission(domid, first, count, allow);
  }

  /** Lets a domain bind one of domain 0's pirqs, or no longer: 0, or a negative errno. */
  irqPermission(domid: number, pirq: number, allow: boolean): number {
    return this.#native.irqPermission(domid, pirq, allow);
  }

  /** @throws PcibackError HYPERCALL-FAILED when the hypervisor does not say. */
  domainState(domid: number): DomainState {
    const state = said(this.#native.domainState(domid), `the state of domain ${domid}`);
    return domainStates[state] ?? 'absent';
  }

  /**
   * How long the processors of a domain have run so far, in whole seconds.
   * @throws PcibackError HYPERCALL-FAILED when the hypervisor does not say.
   */
  processorSeconds(domid: number): number {
    return said(this.#native.processorSeconds(domid), `how long domain ${domid} has run`);
  }

  /** Stops a domain, or undoes that; pauses are counted: 0, or a negative errno. */
  pauseDomain(domid: number, pause: boolean): number {
    return this.#native.pauseDomain(domid, pause);
  }

  /**
   * The handle of a domain, which its toolstack calls its UUID; null when there is no such domain. Loopback domains have none.
   * @throws PcibackError HYPERCALL-FAILED when the hypervisor does not say.
   */
  domainHandle(domid: number): string | null {
    const handle = this.#native.domainHandle(domid);
    if (typeof handle !== 'number') return Buffer.from(handle).toString('hex');
    said(handle, `the handle of domain ${domid}`);
    return null;
  }

  /**
   * Whether an IOMMU confines the DMA of functions. False on the loopback platform, where nothing does DMA.
   * @throws PcibackError HYPERCALL-FAILED when the hypervisor does not say.
   */
  hasIommu(): boolean {
    return said(this.#native.hasIommu(), 'whether there is an IOMMU') === 1;
  }

  /** Rings that are open keep what they need. May be called twice. */
  close(): void {
    this.#native.close();
  }
}
