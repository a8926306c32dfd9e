/** What the checks look at. Plain data: whoever gathers it touches the machine, whoever judges it does not. */
import type { Sbdf } from '../address.ts';
import type { PcibackError } from '../errors.ts';
import type { Use } from '../host/in-use.ts';
import type { FunctionFacts } from '../host/platform.ts';
import type { SilentFunction } from '../host/silent.ts';
import type { PciSpec } from '../toolstack/spec.ts';

/** Something that was asked for, or what kept it from being had. */
export type Attempt<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: PcibackError };

/** What the kernel and the hypervisor under it say of themselves. Null: the kernel does not tell. */
export interface MachineFacts {
  readonly isRoot: boolean;
  /** Release of the kernel. */
  readonly linux: string | null;
  /** The level of kernel lockdown in force: `none`, `integrity` or `confidentiality`. */
  readonly lockdown: string | null;
  /** ACPI tables by which firmware describes an IOMMU, as dom0 sees them: `DMAR`, under Xen `RMAD`, or `IVRS`. */
  readonly iommuTables: readonly string[];
  /** PCI drivers that are loaded and can hold a function for guests: `pciback`, `pci-stub`. */
  readonly stubs: readonly string[];
  /** Whether the kernel has pci-stub as a module, which the daemon then loads when it needs it. */
  readonly canLoadStub: boolean;
  /** Names of those who registered for each interrupt line of the kernel. */
  readonly interruptUsers: ReadonlyMap<number, readonly string[]>;
  /** Null on a machine that does not run under Xen. */
  readonly xen: XenFacts | null;
}

export interface XenFacts {
  readonly version: string | null;
  /** Words of /proc/xen/capabilities; null where xenfs is not mounted. */
  readonly capabilities: readonly string[] | null;
  /** What this domain is: `PV`, `PVH` or `HVM`. */
  readonly guestType: string | null;
  /** Names in /dev/xen. */
  readonly deviceNodes: readonly string[];
  /** Whether Xen has an IOMMU to isolate devices with, as told over Xen's own libraries. */
  readonly hasIommu: Attempt<boolean>;
}

/** A function with what sysfs says beyond its registers. Null: not told. */
export interface KnownFunction extends FunctionFacts {
  /** Whether somebody has enabled it: until then `irq` is what firmware wrote, not a line that is routed. */
  readonly enabled: boolean | null;
  /** The kernel's numbers of its message-signalled vectors. */
  readonly messageVectors: readonly number[];
  readonly iommuGroup: string | null;
  /** What dom0 is doing with it. */
  readonly users: readonly Use[] | null;
}

/** The part of a daemon's `status` that is looked at. */
export interface DaemonFacts {
  readonly pid: number;
  readonly state: string;
  readonly functions: readonly {
    readonly sbdf: string;
    readonly state: string;
    readonly owner: number | null;
    readonly reason: string | null;
  }[];
  readonly guests: readonly { readonly domid: number; readonly waitingFor: string | null }[];
}

/** A guest that has a PCI back-end directory. */
export interface GuestFacts {
  readonly domid: number;
  readonly name: string;
  readonly exists: boolean;
  /** States of the handshake by name. */
  readonly backendState: string;
  readonly frontendState: string;
}

export interface StoreFacts {
  /** Functions that a toolstack has handed to a domain, and whether that domain exists. */
  readonly claims: ReadonlyMap<Sbdf, { readonly domid: number; readonly exists: boolean }>;
  readonly guests: readonly GuestFacts[];
}

/** An xl.cfg. */
export interface GuestFile {
  readonly file: string;
  /** Mistakes and oddities, each with its place and what to do about it. */
  readonly problems: readonly { readonly what: string; readonly remedy: string }[];
  readonly warnings: readonly { readonly what: string; readonly remedy: string }[];
  readonly specs: readonly PciSpec[];
  /** Specifications that name nothing on this host. */
  readonly unresolved: readonly PcibackError[];
  readonly setting: (name: string) => string | number | undefined;
}

export interface Facts {
  /** What is judged: this machine, a tree that was captured elsewhere, or models of a hypervisor in a directory. */
  readonly scope: 'machine' | 'tree' | 'loopback';
  /** Null unless it is this machine. */
  readonly machine: MachineFacts | null;
  /** All functions of the host that answer; empty for models, which share nothing with each other. */
  readonly functions: readonly KnownFunction[];
  /** Functions of the host that do not answer: nothing is concluded from their registers. */
  readonly silent: readonly SilentFunction[];
  /** What is wrong with single functions. */
  readonly unreadable: readonly PcibackError[];
  /** The functions that are judged. */
  readonly subjects: readonly Sbdf[];
  /** Whether somebody named them; otherwise they are all that a guest could be given. */
  readonly named: boolean;
  /** Specifications that were named and mean nothing here. */
  readonly unresolved: readonly PcibackError[];
  /** Undefined when none runs. */
  readonly daemon: Attempt<DaemonFacts | undefined>;
  /** Null where there is no xenstore to ask. */
  readonly store: Attempt<StoreFacts> | null;
  readonly guestFile: GuestFile | null;
}
