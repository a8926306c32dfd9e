import type { FunctionFacts, PlatformOptions } from '../host/platform.ts';
import type { StateFiles } from '../host/state-files.ts';
import type { EventBudget } from '../monitor/event-budget.ts';
import type { ListenAddress } from '../monitor/listen-address.ts';
import type { TopologyKind } from '../topology/index.ts';

/** How the daemons so far have ended, handed on from each to its stand-in. */
export interface Succession {
  /** When the present daemon began to serve, in seconds since the machine was started. */
  readonly since: number;
  /** How many in a row, up to it, took over soon after their predecessor had. */
  readonly shortReigns: number;
}

/** A process that takes over when this one dies. */
export interface StandInProcess {
  readonly pid: number;
  /** Resolves when it is ready for that; never when it ends before. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended: how. */
  readonly ended: Promise<string>;
  /** Ends it, whatever it does. Resolves when it has. */
  end(): Promise<void>;
}

export type StartStandIn = (succession: Succession) => StandInProcess;

/** What makes a back-end a stand-in. */
export interface StandsIn {
  /** That of the daemon which started this process. */
  readonly succession: Succession;
  /** The priorities with which this process waits and takes over, and with which it serves guests then; none when not its to choose. */
  readonly priority?: { readonly takingOver: number; readonly serving: number } | undefined;
  /** An empty directory to work in, which is removed when this process has ended if it has not done so itself. */
  readonly scratch?: string;
  /** Aborted when that daemon has ended. */
  readonly orphaned: AbortSignal;
  /** Called when this process can take over. */
  readonly ready: () => void;
}

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
  /** Threads that serve guests. Default: as many as there are processors, at least 2 and at most 4. */
  readonly workers?: number;
  /** Where state is kept that a successor takes over. Default: `state` in the loopback directory, `/run/pciback/state` on Xen. */
  readonly stateDirectory?: string;
  /** How the files there are read and written: by a supervisor that watches over them, or a test in which that fails. */
  readonly stateFiles?: StateFiles;
  /** Where to listen for the other commands (`pciback status` ...); nowhere when not given. */
  readonly controlSocket?: string;
  /** Where to serve metrics; nowhere when not given. */
  readonly metrics?: ListenAddress;
  /** How many events a guest may bring about; more are only counted. Default: 50 at once, then 5 a second. */
  readonly eventBudget?: EventBudget;
  /**
   * Starts a process that makes a back-end with the same options and `standsIn`, which goes on with the guests when this process
   * dies without having ended. Called when this one is ready, and again when that process has died.
   */
  readonly standIn?: StartStandIn;
  /**
   * Has a guest come up that does not exist, before any other does: a few tenths of a second of work, by which the first one has to wait
   * less. Default: on Xen.
   */
  readonly rehearse?: boolean;
  /** This one prepares everything, then waits for the death of the daemon that started it, and only then takes over. */
  readonly standsIn?: StandsIn;
}
