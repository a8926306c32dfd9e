import { formatSbdf, type Sbdf } from '../address.ts';
import { Command, Header } from '../config-space/bits.ts';
import type { HostRoot } from './host-root.ts';
import type { Hypervisor } from './hypervisor.ts';
import { nativeAddon } from './native.ts';
import { hypercallFailed } from './permissions.ts';
import { SysfsFunction } from './sysfs-function.ts';

/** A function of this machine, with what Xen keeps of its interrupts. */
export class XenFunction extends SysfsFunction {
  readonly #hypervisor: Hypervisor;

  constructor(host: HostRoot, sbdf: Sbdf, hypervisor: Hypervisor) {
    super(host, sbdf, nativeAddon().ConfigFile);
    this.#hypervisor = hypervisor;
  }

  /** Xen writes them into the MSI-X table, which can only be reached while the function decodes memory. */
  override restoreVectors(): void {
    const command = this.read(Header.command, 2);
    this.write(Header.command, 2, command | Command.memory);
    const result = this.#hypervisor.restoreMsi(this.sbdf);
    this.write(Header.command, 2, command);
    if (result < 0) {
      throw hypercallFailed(`Xen cannot restore the interrupts of ${formatSbdf(this.sbdf)}`, result);
    }
  }
}
