/**
 * Everything that the control plane and a guest's worker say to each other. Nothing of a request ever crosses; these are
 * the steps of a guest's life and what the control plane reports of it.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Snapshot } from 'xstate';
import type { Sbdf } from '../src/address.ts';
import type { FilterMode, Seized } from '../src/config-space/index.ts';
import type { Reason } from '../src/errors.ts';
import type { PlatformOptions } from '../src/host/platform.ts';
import type { PublishedRing } from '../src/ring/index.ts';
import type { FunctionState } from '../machines/function.ts';

/** What a worker is started with, once for each guest. */
export interface GuestTask {
  readonly domid: number;
  /** The domain that is to be served (`Platform.domainIdentity`): another one that gets its id is not. Default: the present one. */
  readonly domain?: string | null | undefined;
  readonly platform: PlatformOptions;
  readonly port: MessagePort;
  /** What an earlier worker was serving. */
  readonly resume?: Resume | undefined;
}

/** A guest as it was served: its functions, and the ring that its front-end has published. */
export interface Resume {
  readonly assignments: readonly Assignment[];
  readonly ring: PublishedRing;
}

/** Has a thread ready for its first guest: everything loaded, the platform opened, the path of a request compiled. */
export interface WarmUp {
  readonly warmUp: PlatformOptions;
  /** Where that is tried, and as which domain. */
  readonly rehearsal: Exclude<PlatformOptions, { readonly kind: 'xen' }>;
  readonly domid: number;
}

export type WorkerTask = GuestTask | WarmUp;

/** A function as the worker needs it to take it in hand. */
export interface Assignment {
  readonly sbdf: Sbdf;
  readonly guestAddress: Sbdf;
  readonly mode: FilterMode;
  /** The function's machine as it was last stored; in state `hidden` it is bound, in any other it goes on from there. */
  readonly snapshot: Snapshot<unknown>;
  /** The domain that was given it, if that is known. */
  readonly domain?: string | null | undefined;
  /** The function as it was when it was seized: compiled into the filter, and restored after a reset. */
  readonly seized: Seized;
}

/** Steps, in the order in which a guest goes through them. Each is answered by one reply. */
export type Step =
  | { readonly do: 'bind'; readonly assignment: Assignment }
  /** From the next request on, the guest is trusted so far with a function that it has. */
  | { readonly do: 'trust'; readonly sbdf: Sbdf; readonly mode: FilterMode }
  /** `adopted`: an earlier back-end served this page, and may have answered without announcing it. */
  | { readonly do: 'connect'; readonly ring: PublishedRing; readonly adopted: boolean }
  /** The guest has been told of its ring: what could wait until then can be done. So it can when any other step comes. */
  | { readonly do: 'settle' }
  | { readonly do: 'disconnect' }
  /** No function of the guest reaches for memory any more: what comes before everything that takes its memory away. */
  | { readonly do: 'quiesce' }
  /** All at once: each is reset while the others are. */
  | { readonly do: 'release'; readonly sbdfs: readonly Sbdf[] }
  | { readonly do: 'end' };

export type ToWorker = Step & { readonly id: number };

export type FromWorker =
  /** The first message of all: the thread on which the guest is served. */
  | { readonly is: 'started'; readonly threadId: number }
  /** What of a `Resume` is served again: these functions, and the ring, which is only when no function is missing. */
  | { readonly is: 'resumed'; readonly functions: readonly Sbdf[]; readonly hasRing: boolean }
  | { readonly is: 'done'; readonly id: number }
  | {
      readonly is: 'refused';
      readonly id: number;
      readonly reason: Reason;
      readonly message: string;
      readonly remedy: string;
    }
  | {
      readonly is: 'function';
      readonly sbdf: Sbdf;
      readonly from: FunctionState;
      readonly to: FunctionState;
      readonly cause: string;
      readonly snapshot: Snapshot<unknown>;
    }
  | {
      readonly is: 'reset';
      readonly sbdf: Sbdf;
      readonly method: string | null;
      readonly milliseconds: number;
      readonly byGuest: boolean;
    }
  /** A register was denied for the first time, or ten, a hundred, a thousand ... times. */
  | { readonly is: 'denied'; readonly sbdf: Sbdf; readonly register: number; readonly times: number }
  /** The hypervisor refused a message-signalled vector, for the first time, or ten, a hundred ... times: a negative errno. */
  | { readonly is: 'vectorRefused'; readonly sbdf: Sbdf; readonly errno: number; readonly times: number }
  /** The ring is served; this is the local end of its event channel. */
  | {
      readonly is: 'bound';
      readonly ring: PublishedRing;
      readonly localPort: number;
      readonly domain: string | null;
    }
  | { readonly is: 'abandoned'; readonly times: number }
  | { readonly is: 'storm'; readonly wakeups: number; readonly times: number }
  | { readonly is: 'ringLost' }
  /** The last message: this guest is given up because of a defect of ours, and its thread lives on. */
  | { readonly is: 'faulted' };
