/** The connection to the hypervisor: rings for guests, pirqs for their interrupts. One per thread. */
import { PcibackError } from '../errors.ts';
import type { Reason } from '../errors.ts';
import { answers, isNativeError, looks, nativeAddon } from './native.ts';
import type { NativeHypervisor, NativeRing } from './native.ts';
import type { Answer, Look, Ring } from './platform.ts';
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

  look(turns: number): Look {
    return looks[this.#native.look(turns)] ?? 'vanished';
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
    const failure = isNativeError(cause) ? failures[cause.syscall] : undefined;
    if (!failure || !(cause instanceof Error)) throw cause;
    const message = `${failure.what} of domain ${domid}: ${cause.message}`;
    throw new PcibackError(failure.reason, message, failure.remedy, { cause });
  }
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
   * Maps the page that the domain granted and binds its event channel. `wake` is called on this thread's event loop, once at
   * first and then once per `rearm`.
   * @throws PcibackError GRANT-FAILED, EVENT-CHANNEL-FAILED
   */
  openRing(domid: number, grantRef: number, port: number, wake: () => void): Ring {
    return explained(domid, () => new NativeBackedRing(this.#native.openRing(domid, grantRef, port, wake)));
  }

  /**
   * Serves the ring from a thread without JavaScript, which answers conf_read from the 4096 bytes of `config` and nothing else:
   * what a benchmark compares with. Call `stop` to end it; it returns the number of requests answered.
   * @throws PcibackError GRANT-FAILED, EVENT-CHANNEL-FAILED
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

  /** Rings that are open keep what they need. May be called twice. */
  close(): void {
    this.#native.close();
  }
}
