import type { FunctionFacts, PlatformOptions } from '../host/platform.ts';
import type { ListenAddress } from '../monitor/listen-address.ts';
import type { TopologyKind } from '../topology/index.ts';

export interface PciBackendOptions {
  readonly platform: PlatformOptions;
  /** A captured sysfs tree to take functions from, instead of this machine's. */
  readonly sysfs?: string;
  /** The functions there are, instead of those of sysfs. */
  readonly functions?: readonly FunctionFacts[];
  /** Functions to hide before the back-end says that it is ready, in the grammar of `pciback.hide=`. */
  readonly hide?: string;
  /** How a guest's functions are numbered. Default `vpci`. */
  readonly topology?: TopologyKind;
  /** Threads that serve guests. Default: as many as there are processors, at most 4. */
  readonly workers?: number;
  /** Where state is kept that a successor takes over. Default: `state` in the loopback directory, `/run/pciback/state` on Xen. */
  readonly stateDirectory?: string;
  /** Where to listen for the other commands (`pciback status` ...); nowhere when not given. */
  readonly controlSocket?: string;
  /** Where to serve metrics; nowhere when not given. */
  readonly metrics?: ListenAddress;
}
