/**
 * The back-end's side of one guest's xenbus handshake: `backend/pci/<domid>/0` and `device/pci/0` of the guest.
 *
 * A watch is only a doorbell: whoever runs the machine reads both directories again and sends `observed` with what they
 * say now. Resting states decide on the latest view, states with an effect note the view and decide when the effect is
 * done; an effect brings a view of its own, so that no decision rests on what was true before it. What is written to
 * xenstore, and in which order, is in the effects; the states they leave behind:
 *
 *     waiting 2     initialised 3     connected 4     closing 5     closed 6     reconfigured 8
 *
 * State 7 is written by the toolstack. Rules: Linux xen-pciback's xenbus.c, and libxl_pci.c for the other side.
 */
import { assign, fromPromise, setup } from 'xstate';
import type { Sbdf } from '../src/address.ts';
import type { PublishedRing } from '../src/ring/layout.ts';
import { type GuestView, XenbusState, publishOther } from '../src/xenbus/index.ts';
import { type FunctionFailure, failureOf } from './function.ts';

export interface GuestContext {
  readonly domid: number;
  readonly view: GuestView;
  /** A front-end directory that is missing at first may still be on its way; one that was there has gone for good. */
  readonly frontendSeen: boolean;
  /** So is a domain that xenstored does not know. */
  readonly domainSeen: boolean;
  /** The front-end has been Connected with the present ring: when it is Initialised again, it has another page. */
  readonly frontendWasConnected: boolean;
  /** That ring, when there is one: a front-end that publishes another has another page, too. */
  readonly servedRing: PublishedRing | undefined;
  /** Host addresses of the functions this guest has. */
  readonly exported: readonly Sbdf[];
  readonly failure: FunctionFailure | null;
  /** Noted when it happens, also in the middle of an effect, and acted on in the next state in which the guest is served. */
  readonly workerLost: boolean;
  readonly ringLost: boolean;
  /** Where the front-end stood when we went to Closing: from anywhere else, Initialising is a new beginning. */
  readonly frontendAtClosing: XenbusState;
  /** The daemon is going down: the guest has a limited time to close. */
  readonly stopping: boolean;
}

export type GuestEvent =
  /** Something in the two directories may have changed, and this is what they say. */
  | { readonly type: 'observed'; readonly view: GuestView }
  /** The worker that served the guest ended: everything in it is gone, the guest's page and channel are not. */
  | { readonly type: 'workerDied' }
  /** The shared page went away under the ring. */
  | { readonly type: 'ringLost' }
  /** The daemon ends in an orderly way. */
  | { readonly type: 'stop' }
  /** Somebody else goes on with the guest: another session, or the kernel's own back-end. */
  | { readonly type: 'handedOver' };

/** What every effect returns: the directories as it left them, and what the guest has now. */
export interface Settled {
  readonly view: GuestView;
  readonly exported: readonly Sbdf[];
  /** The ring that is served. */
  readonly servedRing: PublishedRing | undefined;
}

/** The resting state in which an adopted guest goes on. */
export type Position = 'waiting' | 'initialised' | 'connected' | 'reconfigured' | 'closing' | 'closed';

export interface Adopted extends Settled {
  readonly position: Position;
}

/** What an effect has seen at its end may be older than what was observed before the machine heard of it. */
const newer = (known: GuestView, view: GuestView): GuestView => (view.serial < known.serial ? known : view);

const unprovided = (name: string) => (): Promise<never> =>
  Promise.reject(new Error(`${name} is not provided`));
const effect = (name: string) => fromPromise<Settled, GuestContext>(unprovided(name));

const { Unknown, Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring } =
  XenbusState;

const guest = setup({
  types: {
    context: {} as GuestContext,
    events: {} as GuestEvent,
    input: {} as { readonly domid: number; readonly view: GuestView },
  },
  actors: {
    /** Writes InitWait. */
    announce: effect('announce'),
    /** Exports what the directory lists, publishes roots, and from InitWait goes to Initialised. */
    exportFunctions: effect('exportFunctions'),
    /** Takes over what an earlier back-end, or a worker that died, was serving. */
    adopt: fromPromise<Adopted, GuestContext>(unprovided('adopt')),
    /** Maps the page and binds the port that the front-end has published, writes Connected. */
    connect: effect('connect'),
    /** Exports what was added, takes back what is to go, writes Reconfigured. */
    reconfigure: effect('reconfigure'),
    /** Unbinds and unmaps, then writes InitWait for a front-end that has begun anew without closing. */
    restart: effect('restart'),
    /** Writes Connected after the front-end has followed a reconfiguration. */
    resume: effect('resume'),
    /** Unbinds and unmaps, then writes Closing. */
    disconnect: effect('disconnect'),
    /** Writes Closed. */
    close: effect('close'),
    /** Unbinds and unmaps, resets and gives back every function, then writes Closed if the directory is still there. */
    release: effect('release'),
    /** Unbinds and unmaps, writes the error key and goes to Closing. */
    fail: effect('fail'),
  },
  actions: {
    settle: assign(({ context: known }, { view, exported, servedRing }: Settled) => ({
      view: newer(known.view, view),
      exported,
      servedRing,
    })),
    fault: assign((_, { error }: { error: unknown }) => ({ failure: failureOf(error) })),
  },
  guards: {
    /** The toolstack has removed our directory, or the guest and its directory are no more. */
    gone: ({ context: { view, frontendSeen, domainSeen } }) =>
      !view.present ||
      view.ended ||
      (frontendSeen && view.frontendState === Unknown) ||
      (domainSeen && !view.introduced),
    /** Only a toolstack writes Initialising there: it has removed our directory and made a new one for another device. */
    replaced: ({ context: { view } }) => view.state === Initialising,
    /** The toolstack wrote Closing into our directory (xend, and libxl's generic teardown). */
    toldToClose: ({ context: { view } }) => view.state === Closing,
    stopping: ({ context }) => context.stopping,
    offline: ({ context }) => !context.view.online,
    fresh: ({ context: { view } }) => view.state === Initialising,
    /** An earlier back-end got further than that. */
    inheritable: ({ context: { view } }) => view.state >= InitWait,
    /** There is something to export, or to complain about. */
    listed: ({ context: { view } }) => view.devices !== undefined || view.badCount !== undefined,
    pending: ({ context }) => pendingDevices(context),
    frontendReady: ({ context: { view } }) => view.frontendState === Initialised,
    frontendConnected: ({ context: { view } }) => view.frontendState === Connected,
    frontendClosing: ({ context: { view } }) => view.frontendState === Closing,
    frontendClosed: ({ context: { view } }) => view.frontendState === Closed,
    /** The device is to go, and its front-end was never up, or has left: nobody will ever say Closed. */
    deserted: ({ context: { view, stopping } }) =>
      (stopping || !view.online) && (view.frontendState === Unknown || view.frontendState === Initialising),
    /** It has closed and started over while we were not looking. */
    frontendStartedOver: ({ context: { view, frontendAtClosing } }) =>
      view.frontendState === Initialising && frontendAtClosing !== Initialising,
    /** It has forgotten its page and port, as a kernel does that was started in the place of one that crashed. */
    frontendBegins: ({ context: { view, frontendWasConnected, servedRing } }) =>
      view.frontendState === Initialising ||
      (view.frontendState === Initialised && (frontendWasConnected || publishesOther(view, servedRing))),
    /** A front-end that starts over, after kexec or a reload of its driver. mini-os waits for us to return to InitWait. */
    frontendRestarts: ({ context: { view } }) =>
      view.frontendState === Initialising || view.frontendState === Initialised,
    reconfigurationAsked: ({ context: { view } }) =>
      view.state === Reconfiguring && view.frontendState === Reconfiguring,
    workerLost: ({ context }) => context.workerLost,
    ringLost: ({ context }) => context.ringLost,
    /** The effect came to nothing because its worker ended: another worker takes over from whatever was reached. */
    lostWorker: (_, { error }: { error: unknown }) => failureOf(error).reason === 'WORKER-DIED',
    /** The effect was refused because the kernel's own back-end has the guest. */
    isKernels: (_, { error }: { error: unknown }) => failureOf(error).reason === 'KERNEL-BACKEND',
    adoptedAs: (_, { adopted, position }: { adopted: Adopted; position: Position }) =>
      adopted.position === position,
  },
  delays: {
    /** How long an orderly end of the daemon waits for a guest to close its side, in milliseconds. */
    patience: 5000,
  },
});

/** Of keys that nobody has looked at nothing is known. */
const publishesOther = ({ frontendKeys }: GuestView, ring: PublishedRing | undefined): boolean =>
  frontendKeys !== undefined && ring !== undefined && publishOther(frontendKeys, ring);

/** Functions the toolstack has added or wants back, and that have not been dealt with yet. */
export function pendingDevices({ view, exported }: GuestContext): boolean {
  return (view.devices ?? []).some(
    ({ sbdf, state }) =>
      state === Initialising || (state === Closing && sbdf !== undefined && exported.includes(sbdf)),
  );
}

const context = (from: { context: GuestContext }): GuestContext => from.context;

type SettlingEffect =
  | 'announce'
  | 'exportFunctions'
  | 'connect'
  | 'reconfigure'
  | 'restart'
  | 'resume'
  | 'disconnect'
  | 'close'
  | 'release'
  | 'fail';

/** A state that lasts as long as its effect, then leads on; a failed effect fails the guest. */
const during = (src: SettlingEffect, next: string, onFailure = 'failing') =>
  guest.createStateConfig({
    invoke: {
      src,
      input: context,
      onDone: { target: next, actions: { type: 'settle', params: ({ event }) => event.output } },
      onError: [
        { guard: { type: 'isKernels', params: ({ event }) => event }, target: 'left' },
        { guard: { type: 'lostWorker', params: ({ event }) => event }, target: 'adopting' },
        { target: onFailure, actions: { type: 'fault', params: ({ event }) => event } },
      ],
    },
  });

const positions: readonly Position[] = [
  'waiting',
  'initialised',
  'connected',
  'reconfigured',
  'closing',
  'closed',
];

/** What ends the service of a connected guest, in order of precedence. */
const endings = [
  { guard: 'gone', target: 'releasing' },
  { guard: 'replaced', target: 'releasing' },
  { guard: 'stopping', target: 'disconnecting' },
  { guard: 'toldToClose', target: 'disconnecting' },
  { guard: 'frontendClosing', target: 'disconnecting' },
  { guard: 'frontendClosed', target: 'disconnecting' },
] as const;

/** What takes the service of a guest away from under it. */
const losses = [
  { guard: 'workerLost', target: 'adopting' },
  { guard: 'ringLost', target: 'disconnecting' },
] as const;

export const guestMachine = guest.createMachine({
  id: 'guest',
  context: ({ input: { domid, view } }) => ({
    domid,
    view,
    // What a predecessor was connected to was there, whatever has become of it since.
    frontendSeen: view.frontendState !== Unknown || view.state >= Connected,
    domainSeen: view.introduced || view.state >= InitWait,
    frontendWasConnected: view.frontendState === Connected,
    servedRing: undefined,
    exported: [],
    failure: null,
    workerLost: false,
    ringLost: false,
    frontendAtClosing: Unknown,
    stopping: false,
  }),
  on: {
    observed: {
      actions: assign(({ context: known, event: { view } }) => ({
        view: newer(known.view, view),
        frontendSeen: known.frontendSeen || view.frontendState !== Unknown,
        domainSeen: known.domainSeen || view.introduced,
        frontendWasConnected: known.frontendWasConnected || view.frontendState === Connected,
      })),
    },
    stop: { actions: assign({ stopping: true }) },
    workerDied: { actions: assign({ workerLost: true }) },
    ringLost: { actions: assign({ ringLost: true }) },
    handedOver: '.left',
  },
  initial: 'seen',
  states: {
    seen: {
      description:
        'A directory has appeared, or functions are left of one that has gone. The toolstack may not have finished it.',
      always: [
        { guard: 'gone', target: 'releasing' },
        { guard: 'inheritable', target: 'adopting' },
        { guard: 'stopping', target: 'released' },
        { guard: 'fresh', target: 'announcing' },
      ],
    },
    announcing: during('announce', 'waiting'),
    waiting: {
      description: 'InitWait: the functions are not listed yet.',
      always: [
        { guard: 'gone', target: 'releasing' },
        { guard: 'replaced', target: 'releasing' },
        { guard: 'stopping', target: 'releasing' },
        { guard: 'toldToClose', target: 'disconnecting' },
        { guard: 'listed', target: 'exporting' },
      ],
    },
    exporting: during('exportFunctions', 'initialised'),
    initialised: {
      description:
        'Initialised: the functions are exported, the front-end has not come up. More may be listed meanwhile.',
      always: [
        ...endings,
        { guard: 'workerLost', target: 'adopting' },
        { guard: 'pending', target: 'exporting' },
        { guard: 'frontendReady', target: 'connecting' },
      ],
    },
    adopting: {
      description: 'Taking over from a back-end that was killed or a worker that died.',
      entry: assign({ workerLost: false, ringLost: false }),
      invoke: {
        src: 'adopt',
        input: context,
        onDone: positions.map((position) => ({
          guard: {
            type: 'adoptedAs' as const,
            params: ({ event }: { event: { output: Adopted } }) => ({ adopted: event.output, position }),
          },
          target: position,
          actions: {
            type: 'settle' as const,
            params: ({ event }: { event: { output: Adopted } }) => event.output,
          },
        })),
        onError: [
          { guard: { type: 'isKernels', params: ({ event }) => event }, target: 'left' },
          { guard: { type: 'lostWorker', params: ({ event }) => event }, target: 'adopting', reenter: true },
          { target: 'failing', actions: { type: 'fault', params: ({ event }) => event } },
        ],
      },
    },
    connecting: {
      ...during('connect', 'connected'),
      entry: assign({ frontendWasConnected: false, ringLost: false }),
    },
    connected: {
      description: 'Connected: requests are served.',
      always: [
        ...endings,
        ...losses,
        { guard: 'frontendBegins', target: 'restarting' },
        { guard: 'reconfigurationAsked', target: 'reconfiguring' },
      ],
    },
    reconfiguring: during('reconfigure', 'reconfigured'),
    reconfigured: {
      description: 'Reconfigured: waiting for the front-end to rescan its bus. Requests are served.',
      always: [
        ...endings,
        ...losses,
        { guard: 'frontendBegins', target: 'restarting' },
        { guard: 'frontendConnected', target: 'resuming' },
      ],
    },
    resuming: during('resume', 'connected'),
    restarting: during('restart', 'waiting'),
    disconnecting: during('disconnect', 'closing'),
    closing: {
      description: 'Closing: the ring is down, the front-end has still to say that it is closed.',
      entry: assign({ frontendAtClosing: ({ context: { view } }) => view.frontendState }),
      always: [
        { guard: 'gone', target: 'releasing' },
        { guard: 'replaced', target: 'releasing' },
        { guard: 'frontendClosed', target: 'shutting' },
        { guard: 'frontendStartedOver', target: 'shutting' },
        { guard: 'deserted', target: 'shutting' },
      ],
      // Entered again by a stop: patience is counted from there.
      on: { stop: { target: 'closing', reenter: true, actions: assign({ stopping: true }) } },
      after: { patience: { guard: 'stopping', target: 'releasing' } },
    },
    shutting: during('close', 'closed'),
    closed: {
      description:
        'Closed: the functions stay with the guest while it is online, and a front-end may start over.',
      always: [
        { guard: 'gone', target: 'releasing' },
        { guard: 'replaced', target: 'releasing' },
        { guard: 'stopping', target: 'releasing' },
        { guard: 'offline', target: 'releasing' },
        { guard: 'frontendRestarts', target: 'announcing' },
      ],
    },
    failing: during('fail', 'closing', 'releasing'),
    releasing: {
      description: 'Every function is being reset and given back.',
      ...during('release', 'released', 'released'),
    },
    released: { type: 'final' },
    left: {
      type: 'final',
      description:
        'Another back-end has the guest: nothing was written on the way here, and its functions are as they were.',
    },
  },
});
