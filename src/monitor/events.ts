/**
 * What happens, as it happens. The library gives these as an observable, the daemon prints them as NDJSON. Field names
 * follow CloudEvents 1.0 (`type`, `time`, `subject`); reasons are those of `errors.ts`.
 */
import { type Sbdf, formatSbdf } from '../address.ts';
import { PcibackError, type Reason } from '../errors.ts';

export type EventType =
  | 'backend.state'
  | 'backend.ready'
  /** A stand-in is `ready` to take over, or has taken over: it is the `daemon` now. */
  | 'backend.standIn'
  | 'function.hidden'
  /** Other hands have taken a hidden function from its stub, or it is not there any more. */
  | 'function.taken'
  /** From one stub to another. */
  | 'function.moved'
  | 'function.unhidden'
  | 'function.quirk'
  | 'function.state'
  | 'guest.state'
  | 'guest.adopted'
  | 'guest.takenOver'
  | 'guest.left'
  | 'request.abandoned'
  | 'register.denied'
  | 'vector.refused'
  | 'reset.completed'
  | 'reset.failed'
  | 'attach.failed'
  | 'event.storm'
  /** What a guest brought about beyond its budget: `data` says how many events of each type were not told. */
  | 'events.suppressed'
  | 'worker.died'
  | 'xenstored.started'
  | 'metrics.started'
  | 'watch.started'
  /** Not all of the state directory could be written, and all of it is written again. */
  | 'state.notSaved'
  | 'state.saved'
  | 'warning';

export interface BackendEvent {
  readonly type: EventType;
  /** RFC 3339, UTC. */
  readonly time: string;
  /** SBDF of the function it is about. */
  readonly subject?: string;
  readonly domid?: number;
  readonly from?: string;
  readonly to?: string;
  /** What brought it about: the event of the machine, the register, the method. */
  readonly cause?: string;
  readonly reason?: Reason;
  readonly message?: string;
  readonly remedy?: string;
  /** Numbers that belong to the event: durations in milliseconds, counts. */
  readonly data?: Readonly<Record<string, number | string | boolean>>;
}

type Details = Omit<BackendEvent, 'type' | 'time' | 'subject'> & { readonly sbdf?: Sbdf };

export function makeEvent(type: EventType, { sbdf, ...details }: Details = {}): BackendEvent {
  return {
    type,
    time: new Date().toISOString(),
    ...(sbdf === undefined ? {} : { subject: formatSbdf(sbdf) }),
    ...details,
  };
}

/** The part of an event that tells of a failure. */
export function failureDetails(error: unknown): Pick<BackendEvent, 'reason' | 'message' | 'remedy'> {
  if (error instanceof PcibackError) {
    return { reason: error.reason, message: error.message, remedy: error.remedy };
  }
  return { reason: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}
