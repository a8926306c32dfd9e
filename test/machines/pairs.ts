import { type AnyStateMachine, type EventObject, createActor, fromPromise } from 'xstate';

/** Effects that never end: a test decides when an effect is done, by sending what its end would send. */
export function withEndlessEffects<T extends AnyStateMachine>(machine: T): T {
  const endless = Object.fromEntries(
    Object.keys(machine.implementations.actors).map((name) => [
      name,
      fromPromise(() => new Promise(() => {})),
    ]),
  );
  return machine.provide({ actors: endless }) as T;
}

/** `a.b` for the nested state a.b. */
export function stateName(value: unknown): string {
  if (typeof value === 'string') return value;
  return Object.entries(value as Record<string, unknown>)
    .map(([parent, child]) => `${parent}.${stateName(child)}`)
    .join('|');
}

/** Every state in which the machine can rest or work, by name. */
export function leafStates(machine: AnyStateMachine): string[] {
  const leaves: string[] = [];
  const walk = (node: AnyStateMachine['root'], path: string[]): void => {
    const children = Object.entries(node.states);
    if (children.length === 0) leaves.push(path.join('.'));
    for (const [name, child] of children) walk(child, [...path, name]);
  };
  walk(machine.root, []);
  return leaves;
}

const toValue = (name: string): string | Record<string, string> => {
  const [parent = '', child] = name.split('.');
  return child === undefined ? parent : { [parent]: child };
};

/** What state follows when the machine is in `state` with `context` and `event` comes. */
export function follow<TContext>(
  machine: AnyStateMachine,
  state: string,
  context: TContext,
  event: EventObject,
): { state: string; context: TContext } {
  const snapshot = machine.resolveState({ value: toValue(state), context });
  const actor = createActor(machine, { snapshot });
  actor.subscribe({ error: () => undefined });
  actor.start();
  // A machine in a final state takes no events; xstate would only print a warning.
  if (actor.getSnapshot().status === 'active') actor.send(event);
  const after = actor.getSnapshot() as { value: unknown; context: TContext };
  actor.stop();
  return { state: stateName(after.value), context: after.context };
}

/** The event with which an invoked effect of `state` reports its end. */
export const done = (
  machine: AnyStateMachine,
  state: string,
  output?: unknown,
): EventObject & { output: unknown } => ({
  type: `xstate.done.actor.0.${machine.id}.${state}`,
  output,
});
export const failed = (
  machine: AnyStateMachine,
  state: string,
  error: unknown,
): EventObject & { error: unknown } => ({
  type: `xstate.error.actor.0.${machine.id}.${state}`,
  error,
});
