/**
 * What a guest process and its parent say to each other: one JSON object a line. Commands go to its standard input, events
 * and replies come from its standard output.
 */
import type { InterruptState } from './bus.ts';
import type { AttemptResult } from './hostile/attempt.ts';
import type { LoadReport } from './load.ts';

/** A function as a guest found it, in a form that JSON can carry: addresses and sizes are hexadecimal text. */
export interface FunctionReport {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number;
  readonly bars: readonly {
    readonly index: number;
    readonly kind: string;
    readonly base: string;
    readonly size: string;
  }[];
  readonly capabilities: readonly {
    readonly id: number;
    readonly offset: number;
    readonly extended: boolean;
  }[];
  readonly msixEntries: number;
  readonly interrupts: InterruptState;
}

export interface GuestStatus {
  readonly domid: number;
  readonly variant: string;
  readonly connected: boolean;
  readonly functions: readonly FunctionReport[];
  readonly requests: number;
  readonly lost: number;
}

/** What became of an attempt on one function. */
export interface HostileReport extends AttemptResult {
  readonly address: string;
}

export interface PirqReport {
  readonly pirq: number;
  /** Interrupts since the vector was bound. */
  readonly events: number;
}

/** The commands, with what they take and what they give. An `address` is one of the guest's; all functions when absent. */
export interface GuestCommands {
  status: { take: object; give: GuestStatus };
  /** The lines of an lspci-like listing. */
  listing: { take: object; give: { readonly lines: readonly string[] } };
  /** Looks for functions that are new. */
  scan: { take: object; give: { readonly found: readonly string[] } };
  /** Turns on decoding and bus mastering. */
  enable: { take: { address?: string }; give: { readonly enabled: readonly string[] } };
  enableMsix: {
    take: { address?: string; count?: number };
    give: { readonly vectors: Readonly<Record<string, readonly number[]>> };
  };
  enableMsi: {
    take: { address?: string };
    give: { readonly vectors: Readonly<Record<string, readonly number[]>> };
  };
  disableInterrupts: {
    take: { address?: string };
    give: { readonly modes: Readonly<Record<string, string>> };
  };
  /** Binds all vectors at the first call; tells how many interrupts each has had. */
  interrupts: { take: { address?: string }; give: { readonly pirqs: readonly PirqReport[] } };
  /** Runs the catalogue, or the attempts named, and reports each as an event as well. */
  hostile: {
    take: { address?: string; only?: readonly string[] };
    give: { readonly results: readonly HostileReport[] };
  };
  load: { take: { seconds: number }; give: LoadReport };
  /** Ends a load before its time. */
  stopLoad: { take: object; give: object };
  /** Loads the front-end driver again. */
  reconnect: { take: { magic?: string }; give: object };
  /** Closes in an orderly way and ends the process. */
  shutdown: { take: object; give: object };
}

export type GuestCommandName = keyof GuestCommands;

export type GuestCommand = {
  [Name in GuestCommandName]: { readonly id: number; readonly do: Name } & GuestCommands[Name]['take'];
}[GuestCommandName];

export type GuestMessage =
  | { readonly type: 'started'; readonly domid: number; readonly pid: number; readonly variant: string }
  | { readonly type: 'state' | 'backend-state'; readonly state: string }
  | { readonly type: 'connected' | 'added'; readonly functions: readonly FunctionReport[] }
  | { readonly type: 'removed'; readonly addresses: readonly string[] }
  | { readonly type: 'disconnected' }
  | { readonly type: 'panic' | 'fatal'; readonly message: string }
  | ({ readonly type: 'attempt' } & HostileReport)
  | { readonly type: 'reply'; readonly id: number; readonly ok: true; readonly result: object }
  | { readonly type: 'reply'; readonly id: number; readonly ok: false; readonly error: string };

export type GuestEvent = Exclude<GuestMessage, { readonly type: 'reply' }>;
