import type { BridgeMap } from './bridges.ts';
import { PassthroughTopology } from './passthrough.ts';
import type { Topology, TopologyKind } from './topology.ts';
import { VpciTopology } from './vpci.ts';

export { BridgeMap, bridgeOf } from './bridges.ts';
export { requireExportable } from './exportable.ts';
export type { Candidate, Root, Topology, TopologyKind } from './topology.ts';

export function makeTopology(kind: TopologyKind, bridges: BridgeMap): Topology {
  return kind === 'vpci' ? new VpciTopology() : new PassthroughTopology(bridges);
}
