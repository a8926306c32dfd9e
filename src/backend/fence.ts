import { PcibackError } from '../errors.ts';
import type { Platform } from '../host/platform.ts';

/** Reasons for which an effect comes to nothing because somebody else goes on with the guest: nothing is answered, nothing undone. */
const endings: ReadonlySet<string> = new Set(['WORKER-DIED', 'KERNEL-BACKEND']);

export const isEnding = (error: unknown): boolean =>
  error instanceof PcibackError && endings.has(error.reason);

/**
 * Keeps a session away from a guest that is not its own any more: a guest has one back-end. The kernel's driver may bind to a directory
 * at any instant. It says so in sysfs before it writes to xenstore (Linux drivers/base/dd.c, really_probe), so a look there
 * immediately before each step finds it in time. A fence that has closed stays closed.
 */
export class Fence {
  readonly #platform: Pick<Platform, 'kernelServes'>;
  readonly #domid: number;
  #isClosed = false;

  constructor(platform: Pick<Platform, 'kernelServes'>, domid: number) {
    this.#platform = platform;
    this.#domid = domid;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** @throws PcibackError KERNEL-BACKEND when the session may neither write nor touch a function. */
  check(): void {
    this.#isClosed ||= this.#platform.kernelServes(this.#domid);
    if (!this.#isClosed) return;
    throw new PcibackError(
      'KERNEL-BACKEND',
      `this session does not serve domain ${this.#domid} any more`,
      'nothing: another back-end goes on with the guest',
    );
  }
}
