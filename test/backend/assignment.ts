/** Functions as guests have them, and as they are recorded. */
import { type Snapshot, createActor } from 'xstate';
import { type FunctionContext, functionMachine } from '../../machines/function.ts';
import type { Sbdf } from '../../src/address.ts';
import { type Seized, defaultMode, seize } from '../../src/config-space/index.ts';
import { type FunctionFacts, ensureModel, openModel } from '../../src/host/index.ts';
import type { Assignment } from '../../workers/messages.ts';

type Value = Parameters<typeof functionMachine.resolveState>[0]['value'];

/** A function that a guest has, where its machine stands at `value`. */
export function snapshotOf(
  sbdf: Sbdf,
  owner: number,
  value: Value,
  guestAddress: Sbdf | null = sbdf,
): Snapshot<unknown> {
  const context: FunctionContext = { sbdf, owner, guestAddress, failure: null, heldBy: null };
  const snapshot = functionMachine.resolveState({ value, context });
  return createActor(functionMachine, { input: { sbdf }, snapshot }).getPersistedSnapshot();
}

/** What is known of a function once it is hidden; its model is made in `directory`. */
export function seizedIn(directory: string, facts: FunctionFacts): Seized {
  ensureModel(directory, facts);
  const hardware = openModel(directory, facts.sbdf);
  const seized = seize(hardware, facts);
  hardware.close();
  return seized;
}

/** A function in the hands of a guest, at its own address. */
export function assignmentOf(
  directory: string,
  facts: FunctionFacts,
  domid: number,
  value: Value = 'bound',
): Assignment {
  const { sbdf } = facts;
  return {
    sbdf,
    guestAddress: sbdf,
    mode: defaultMode,
    snapshot: snapshotOf(sbdf, domid, value),
    seized: seizedIn(directory, facts),
  };
}
