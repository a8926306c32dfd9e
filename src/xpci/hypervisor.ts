import type { RequestChannel } from './requests.ts';

/** A page granted to the back-end's domain, and an event channel that it may bind. */
export interface GrantedChannel extends RequestChannel {
  readonly grantRef: number;
  readonly port: number;
  /** Ends grant and event channel. May be called twice. */
  close(): void;
}

/** The interrupts that the hypervisor delivers to a guest. */
export interface InterruptLines {
  /** Interrupts on this pirq since the first call for it, which binds it. */
  countInterrupts(pirq: number): number;
}

/** What a guest asks of the hypervisor below it. */
export interface GuestHypervisor {
  /**
   * Grants a zeroed page with `flags` set in it. A request that is not answered within `answerTimeout` milliseconds is
   * withdrawn.
   */
  grantChannel(flags: number, answerTimeout: number): GrantedChannel;
}
