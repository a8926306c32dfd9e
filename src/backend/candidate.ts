import { type FunctionFacts, isBridge, isHostBridge } from '../host/index.ts';
import type { Candidate } from '../topology/index.ts';

/** What the place of a function on a guest's bus depends on. */
export const candidate = (facts: FunctionFacts): Candidate => ({
  sbdf: facts.sbdf,
  bridge: isBridge(facts),
  hostBridge: isHostBridge(facts),
  virtualFunction: facts.physicalFunction !== null,
});
