/** Which functions no guest can ever be given, whatever else it is given. */
import { formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { Candidate, TopologyKind } from './topology.ts';

/**
 * A host bridge is how the host reaches all of its bus. Any other bridge has its place only where guests see the buses of the host.
 * @throws BRIDGE
 */
export function requireExportable({ sbdf, bridge, hostBridge }: Candidate, kind: TopologyKind): void {
  const name = formatSbdf(sbdf);
  if (hostBridge) {
    throw new PcibackError(
      'BRIDGE',
      `${name} is a host bridge: all functions of its bus are reached through it`,
      'leave it to the host, and give guests the functions',
    );
  }
  if (!bridge || kind === 'passthrough') return;
  throw new PcibackError(
    'BRIDGE',
    `${name} is a bridge, and a bridge has no place on a flat virtual bus`,
    'export the functions behind it instead, or serve with --topology passthrough',
  );
}
