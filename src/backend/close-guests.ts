/** The orderly end of all guests, in bounded time. */
import { type Sbdf, formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import type { Guests } from './guests.ts';
import { kernelPatience, waitAtMost } from './patience.ts';
import type { Registry } from './registry.ts';

/**
 * Closes every guest and gives its functions back. What the kernel is still resetting after a while is left as it is noted: nobody's before
 * the next daemon has reset it.
 */
export async function closeAll(
  guests: Pick<Guests, 'sessions' | 'close'>,
  registry: Registry,
  emit: (event: BackendEvent) => void,
): Promise<void> {
  const sessions = guests.sessions();
  const closed = Promise.all([guests.close(), ...sessions.map((session) => session.stop())]);
  if (await waitAtMost(kernelPatience, closed)) return;
  for (const { facts, resettingSince } of registry.entries()) {
    if (!resettingSince) continue;
    const { sbdf } = facts;
    emit(makeEvent('warning', { sbdf, ...failureDetails(stillReset(sbdf, resettingSince)) }));
  }
  for (const session of sessions) session.abandon();
}

const stillReset = (sbdf: Sbdf, since: string): PcibackError =>
  new PcibackError(
    'TIMED-OUT',
    `${formatSbdf(sbdf)} has been in a reset since ${since}, and still is`,
    'start the daemon again: it waits for the end of that, and resets the function anew',
  );
