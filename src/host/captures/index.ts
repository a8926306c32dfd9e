/**
 * Functions for machines that have none to give: the kinds that are passed through most, each with its own combination of
 * headers, BARs and capabilities. Their buses start at 40, where few machines have any.
 */
import type { Sbdf } from '../../address.ts';
import type { FunctionFacts } from '../platform.ts';
import { type Capture, factsOf } from './capture.ts';
import { conventionalBus } from './conventional-bus.ts';
import { e1000e } from './e1000e.ts';
import { graphics } from './graphics.ts';
import { nvme } from './nvme.ts';
import { rootPorts } from './root-ports.ts';
import { sriov } from './sriov.ts';
import { xhci } from './xhci.ts';

const captures: readonly Capture[] = [
  e1000e,
  nvme,
  xhci,
  ...graphics,
  ...sriov,
  ...conventionalBus,
  ...rootPorts,
];

/** A bundled function, as if it were at this address. */
export const sampleFunction = (sbdf: Sbdf): FunctionFacts => ({ ...factsOf(e1000e), sbdf });

/** The bundled functions, the most telling ones first. */
export const capturedFunctions = (): FunctionFacts[] => captures.map(factsOf);
