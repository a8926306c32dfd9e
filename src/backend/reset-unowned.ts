import { createActor, fromPromise, waitFor } from 'xstate';
import {
  type FunctionContext,
  type ResetInput,
  type ResetOutcome,
  functionMachine,
  functionState,
} from '../../machines/function.ts';
import { resetToHidden } from '../../workers/reset.ts';
import type { Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import {
  type FunctionFacts,
  type Platform,
  type ResetMethod,
  type SilentFunction,
  resetMethods,
} from '../host/index.ts';
import { type BackendEvent, failureDetails, makeEvent } from '../monitor/events.ts';
import { type Entry, type Registry, contextOf, stateOf } from './registry.ts';

/**
 * Every way to reset a function, and why it can be used or not, first those that a reset would try. A model can be reset in
 * whatever way it was given, since it has no neighbours.
 */
export function resetMethodsOf(
  platform: Platform,
  facts: FunctionFacts,
  host: readonly (FunctionFacts | SilentFunction)[],
  isHidden: boolean,
): readonly ResetMethod[] {
  const methods = resetMethods(facts, host);
  if (!isHidden || platform.kind !== 'loopback') return methods;
  const model = platform.openFunction(facts.sbdf);
  const own = model.facts.resetMethods;
  model.close();
  return methods.map((each) =>
    own.includes(each.method) && !each.usable
      ? { ...each, usable: true, why: 'a model can always be reset' }
      : each,
  );
}

/**
 * Resets a function that no guest has, without a worker: nothing else happens to it meanwhile. It is hidden afterwards, or
 * quarantined, and then this rejects with why. With FUNCTION-IN-USE it is left as it is.
 */
export async function resetUnowned(
  platform: Platform,
  registry: Registry,
  sbdf: Sbdf,
  emit: (event: BackendEvent) => void,
): Promise<ResetOutcome> {
  return registry.whileUnowned(sbdf, async (entry) => {
    const { seized, snapshot } = entry;
    await platform.underWay(sbdf);
    takeFromLast(platform, registry, entry);
    const hardware = platform.openFunction(sbdf);
    let outcome: ResetOutcome | undefined;
    const machine = functionMachine.provide({
      actors: {
        bind: fromPromise<void, FunctionContext>(async () => undefined),
        reset: fromPromise<ResetOutcome, ResetInput>(
          async () => (outcome = await resetToHidden(hardware, seized)),
        ),
      },
    });
    const actor = createActor(machine, { input: { sbdf }, snapshot });
    let state = functionState(actor.getSnapshot().value);
    actor.subscribe(({ value }) => {
      const from = state;
      state = functionState(value);
      registry.update(sbdf, actor.getPersistedSnapshot());
      if (state !== from) emit(makeEvent('function.state', { sbdf, from, to: state, cause: 'reset' }));
    });
    actor.start();
    actor.send({ type: 'reset' });
    const after = await waitFor(actor, (now) => !now.matches('reset'), { timeout: Number.POSITIVE_INFINITY });
    actor.stop();
    hardware.close();
    const { failure } = after.context;
    if (outcome && !failure) {
      emit(
        makeEvent('reset.completed', {
          sbdf,
          cause: outcome.method ?? 'none',
          data: { milliseconds: outcome.milliseconds },
        }),
      );
      return outcome;
    }
    const error = new PcibackError(
      failure?.reason ?? 'RESET-FAILED',
      failure?.message ?? 'the reset failed',
      failure?.remedy ?? 'try again, or switch its slot off and on',
    );
    emit(makeEvent('reset.failed', { sbdf, ...failureDetails(error) }));
    throw error;
  });
}

/** Resets anew what nobody had when it was being reset by a predecessor that was killed. */
export async function resetLeftHalfway(
  platform: Platform,
  registry: Registry,
  emit: (event: BackendEvent) => void,
): Promise<void> {
  const left = registry
    .entries()
    .filter((entry) => stateOf(entry) === 'reset' && registry.ownerOf(entry.facts.sbdf) === undefined);
  // What came of it has been told by an event.
  await Promise.allSettled(left.map(({ facts }) => resetUnowned(platform, registry, facts.sbdf, emit)));
}

/** A guest from which a function could not be taken as a whole may still have some of it. */
function takeFromLast(platform: Platform, registry: Registry, entry: Entry): void {
  const { sbdf } = entry.facts;
  const last = contextOf(entry).heldBy ?? undefined;
  // Another domain of that id has never had it.
  const isGone =
    last !== undefined && entry.domain !== undefined && platform.domainIdentity(last) !== entry.domain;
  const heldBy = isGone ? undefined : last;
  if (heldBy !== undefined) {
    platform.revoke(heldBy, { sbdf, ...entry.seized }, registry.belongingsOf(heldBy));
  }
  platform.requireUnassigned(sbdf, heldBy);
}
