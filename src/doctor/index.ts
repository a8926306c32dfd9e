/**
 * What is right and wrong with a host for PCI passthrough, in the order in which an operator looks for it.
 *
 *     const diagnosis = diagnose(await gather({ specs: [] }, services));
 */
export { type Finding, type FunctionFinding, type Result, sayingOf } from './check.ts';
export { type CheckReport, diagnose, type Diagnosis, type StageReport, type Verdict } from './diagnose.ts';
export type { DaemonFacts, Facts } from './facts.ts';
export { gather, type GatherOptions, type Models, type Services } from './gather/index.ts';
