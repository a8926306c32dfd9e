/** What can be said of an attach before anything is written: each guest's bus has room for so much, and no more. */
import type { Sbdf } from '../address.ts';
import type { GuestFunctions } from './guest-functions.ts';
import type { HostFunctions } from './host-functions.ts';
import type { Registry } from './registry.ts';

/** A function that a guest is to get. */
export interface Wanted {
  readonly sbdf: Sbdf;
  /** Device and function wanted on the guest's bus; 0 means any. */
  readonly devfn: number;
}

interface Parts {
  readonly registry: Pick<Registry, 'get'>;
  readonly host: Pick<HostFunctions, 'factsOf' | 'requireHeld' | 'requireIsolated'>;
}

/**
 * Checks that a guest can be given all of the functions together; nothing is changed.
 * @param functions those that the guest has already
 * @throws NO-SUCH-FUNCTION, NOT-HIDDEN, NOT-ANSWERING, BRIDGE, NO-SLOT or NOT-ISOLATED
 */
export function requireAttachable(
  { registry, host }: Parts,
  functions: Pick<GuestFunctions, 'requirePlaces'>,
  domid: number,
  wanted: readonly Wanted[],
): void {
  // A function that other hands have taken is hidden no more.
  for (const { sbdf } of wanted) host.requireHeld(sbdf);
  const known = wanted.map(({ sbdf, devfn }) => ({
    facts: registry.get(sbdf)?.facts ?? host.factsOf(sbdf),
    devfn,
  }));
  functions.requirePlaces(known);
  // Functions that are to be hidden first may share pages with each other, which is judged when they are.
  if (wanted.some(({ sbdf }) => !registry.get(sbdf))) return;
  for (const { sbdf } of wanted) host.requireIsolated(sbdf, domid);
}
