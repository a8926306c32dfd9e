/**
 * The guest's end of a shared page and event channel on the loopback platform, for guests that are ordinary processes. On Xen
 * this is the guest kernel's business.
 */
import { nativeAddon } from './native.ts';
import type { NativeFrontRing } from './native.ts';

export interface FrontRingOptions {
  /** The first grant reference to try; default 8 (the lower ones are reserved, 1 is xenstore's). */
  readonly ref?: number;
  /** The first port to try; default 2 (1 is xenstore's). */
  readonly port?: number;
  /** What `flags` of the fresh page holds, such as `Flag.aerHandler`; default 0. */
  readonly flags?: number;
}

export class FrontRing {
  /** The whole page, for front-ends that misbehave. Copied when sent to another thread. */
  readonly page: ArrayBuffer;
  /** What belongs into the `pci-op-ref` key. */
  readonly ref: number;
  /** What belongs into the `event-channel` key. */
  readonly port: number;
  readonly #native: NativeFrontRing;

  /** Makes the page and the port of the domain, under the first numbers that are free. */
  constructor(directory: string, domid: number, options: FrontRingOptions = {}) {
    const { FrontRing: Native } = nativeAddon();
    const { ref = 8, port = 2, flags = 0 } = options;
    this.#native = new Native(directory, domid, ref, port, flags);
    this.page = this.#native.page;
    this.ref = this.#native.ref;
    this.port = this.#native.port;
  }

  /**
   * Makes the request in `op` (137 words) and waits, blocking the thread, for the answer, which takes its place. Returns false
   * when none came in time; the request is then withdrawn as pcifront does after two seconds.
   */
  exchange(op: Int32Array, timeoutMs = 2000): boolean {
    return this.#native.exchange(op, timeoutMs);
  }

  /** Makes a request without waiting. Returns whether there was a back-end to notify. */
  submit(op: Int32Array): boolean {
    return this.#native.submit(op);
  }

  /** Whether no request is pending; the last one, answered, is then copied to `op`. */
  poll(op: Int32Array): boolean {
    return this.#native.poll(op);
  }

  /** Withdraws a request. Returns false when it was answered already. */
  giveUp(): boolean {
    return this.#native.giveUp();
  }

  /** Signals the back-end, whichever is bound to the port now. Returns false when none is. */
  notify(): boolean {
    return this.#native.notify();
  }

  /** Waits, blocking the thread, for an event on the port and takes it. Returns false when none came in time. */
  waitEvent(timeoutMs: number): boolean {
    return this.#native.waitEvent(timeoutMs);
  }

  /**
   * Has `callback` called on this thread's event loop, which this keeps alive, whenever the port is pending; null ends it. An
   * event says "look at the flags", never more. `exchange` takes events too, so look after it as well.
   */
  onEvent(callback: (() => void) | null): void {
    this.#native.onEvent(callback);
  }

  /** Binds a pirq, so that the back-end's interrupts arrive. Throws EEXIST when it is bound. */
  bindPirq(pirq: number): void {
    this.#native.bindPirq(pirq);
  }

  unbindPirq(pirq: number): void {
    this.#native.unbindPirq(pirq);
  }

  /** The number of interrupts since the pirq was bound, after waiting up to `timeoutMs` for one that is not counted yet. */
  pirqEvents(pirq: number, timeoutMs = 0): number {
    return this.#native.pirqEvents(pirq, timeoutMs);
  }

  /** Removes the page, the port and the pirqs. A page that is mapped elsewhere stays there. May be called twice. */
  close(): void {
    this.#native.close();
  }
}
