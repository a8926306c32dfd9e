import { PcibackError } from '../errors.ts';
import { type PublishedRing, protocolMagic } from '../ring/layout.ts';
import { parseDecimal, quote, withoutTerminator } from './text.ts';

export const frontendKeyNames = ['pci-op-ref', 'event-channel', 'magic'] as const;

/** Their values, in that order. */
export type FrontendKeys = readonly (string | undefined)[];

export const sameKeys = (keys: FrontendKeys, others: FrontendKeys): boolean =>
  keys.every((value, index) => value === others[index]);

/** Whether they publish another ring than this one, or none. */
export function publishOther(keys: FrontendKeys, ring: PublishedRing): boolean {
  try {
    const { grantRef, port } = parseFrontendKeys(keys);
    return grantRef !== ring.grantRef || port !== ring.port;
  } catch {
    return true;
  }
}

const highest32 = 0xffff_ffff;

/** Reads the keys in the order of `frontendKeyNames`. Throws FRONTEND-KEYS or BAD-MAGIC; the guest wrote all of them. */
export function parseFrontendKeys(values: FrontendKeys): PublishedRing {
  const [ref, channel, magic] = values;
  const missing = frontendKeyNames.filter((_, index) => values[index] === undefined);
  if (missing.length > 0) {
    throw new PcibackError(
      'FRONTEND-KEYS',
      `the front-end went to Initialised without ${missing.join(', ')}`,
      'see which front-end driver the guest runs',
    );
  }
  if (magic === undefined || withoutTerminator(magic) !== protocolMagic) {
    throw new PcibackError(
      'BAD-MAGIC',
      `the front-end's magic is ${quote(magic)}, not ${protocolMagic}`,
      'use a guest whose pcifront speaks this version of the protocol',
    );
  }
  const grantRef = parseDecimal(ref, highest32);
  const port = parseDecimal(channel, highest32);
  if (grantRef === undefined || port === undefined) {
    throw new PcibackError(
      'FRONTEND-KEYS',
      `pci-op-ref is ${quote(ref)} and event-channel is ${quote(channel)}; both must be decimal numbers`,
      'see which front-end driver the guest runs',
    );
  }
  return { grantRef, port };
}
