/** From what somebody asked for to the functions of this host that are meant. */
import { busOf, formatSbdf, functionOf, parseSbdf, segmentOf, slotOf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { XenstoreAccess } from '../xenstore/index.ts';
import { followBridgePath } from './address-spellings.ts';
import { formatPattern, patternMatches, sbdfPattern, type AddressPattern } from './address-text.ts';
import type { FunctionToAttach } from './device-entries.ts';
import { defaultPciOptions } from './pci-options.ts';
import type { PciSpec } from './spec.ts';

/** What has to be known of the host to resolve a specification. */
export interface HostFunctions {
  readonly functions: readonly Sbdf[];
  /** The bus behind a bridge; undefined for anything else. */
  secondaryBus(bridge: Sbdf): number | undefined;
  /** The function that was hidden under this name. */
  named(name: string): Sbdf | undefined;
}

/** Names that were given to functions when they were hidden: `/libxl/pci/<address>/name`. */
export async function readNames(
  store: Pick<XenstoreAccess, 'read' | 'directory'>,
): Promise<Map<string, Sbdf>> {
  const names = new Map<string, Sbdf>();
  for (const key of (await store.directory('/libxl/pci')) ?? []) {
    const sbdf = parseSbdf(key.replace(/^(\w+)-(\w+)-(\w+)-(\w)$/, '$1:$2:$3.$4'));
    const name = sbdf === undefined ? undefined : await store.read(`/libxl/pci/${key}/name`);
    if (sbdf !== undefined && name !== undefined) names.set(name, sbdf);
  }
  return names;
}

/**
 * The functions that a specification means: one, or with `*` all of the slot that the host has. With `*` each takes its own
 * function number in the slot that was asked for; a single one becomes function 0 there, since guests may look no further
 * in a slot without it. Throws NO-SUCH-FUNCTION.
 */
export function resolveSpec(spec: PciSpec, host: HostFunctions): readonly FunctionToAttach[] {
  const pattern = patternOf(spec, host);
  const found = host.functions.filter((sbdf) => patternMatches(pattern, sbdf));
  if (found.length === 0) throw noSuchFunction(formatPattern(pattern), pattern, host.functions);
  const { target, vslot } = spec;
  const isWhole = pattern.fn === null;
  return found.map((sbdf) => ({
    sbdf,
    devfn: vslot === 0 ? 0 : (vslot << 3) | (isWhole ? functionOf(sbdf) : 0),
    options: { ...defaultPciOptions, ...spec.options },
    ...(target.kind === 'name' ? { name: target.name } : {}),
  }));
}

function patternOf({ target, text }: PciSpec, host: HostFunctions): AddressPattern {
  if (target.kind === 'address') return target.pattern;
  if (target.kind === 'name') {
    const sbdf = host.named(target.name);
    if (sbdf !== undefined) return sbdfPattern(sbdf);
    const remedy = 'give its address, or the name it was hidden under';
    throw new PcibackError('NO-SUCH-FUNCTION', `no function is called '${target.name}'`, remedy);
  }
  const sbdf = followBridgePath(target.path, (bridge) => host.secondaryBus(bridge));
  if (sbdf !== undefined) return sbdfPattern(sbdf);
  throw new PcibackError('NO-SUCH-FUNCTION', `a bridge of the path ${text} is missing`, 'give its address');
}

function noSuchFunction(address: string, wanted: AddressPattern, present: readonly Sbdf[]): PcibackError {
  const near = nearestFunctions(wanted, present).map(formatSbdf).join(', ');
  return new PcibackError(
    'NO-SUCH-FUNCTION',
    `no function has the address ${address}`,
    near === '' ? 'pciback list shows what there is' : `near it there are ${near}; pciback list shows all`,
  );
}

/** At most three that somebody may have meant: of the same slot, of the same bus, or at the same place of another bus. */
function nearestFunctions(
  { segment, bus, device, fn }: AddressPattern,
  present: readonly Sbdf[],
): readonly Sbdf[] {
  const wantedSlot = (bus << 5) | (device ?? 0);
  const distance = (sbdf: Sbdf): number =>
    (segmentOf(sbdf) === segment ? 0 : 0x10_0000) +
    (busOf(sbdf) === bus ? 0 : 0x1_0000) +
    Math.abs((slotOf(sbdf) & 0x1fff) - wantedSlot) * 8 +
    Math.abs(functionOf(sbdf) - (fn ?? 0));
  return present.toSorted((a, b) => distance(a) - distance(b)).slice(0, 3);
}
