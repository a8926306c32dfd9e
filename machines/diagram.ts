/** Draws a machine as a Mermaid state diagram, from the machine itself: what is drawn is what runs. */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';

const label = (transition: AnyTransitionDefinition): string => {
  const { eventType, guard } = transition;
  const condition =
    typeof guard === 'string' ? guard : ((guard as { type?: string } | undefined)?.type ?? '');
  if (eventType === '') return condition;
  const event = eventType
    .replace(/^xstate\.done\..*/, 'done')
    .replace(/^xstate\.error\..*/, 'failed')
    .replace(/^xstate\.after\.(\w+)\..*/, 'after $1');
  return condition === '' ? event : `${event} [${condition}]`;
};

const name = (node: AnyStateNode): string => node.path.join('_') || node.key;

const transitionsOf = (node: AnyStateNode): AnyTransitionDefinition[] => [
  ...[...node.transitions.values()].flat(),
  ...(node.always ?? []),
];

const isWorking = (node: AnyStateNode): boolean => node.invoke.length > 0;

/** The lines of the diagram of `node`'s children, indented to their depth. */
function inside(node: AnyStateNode, depth: number): string[] {
  const pad = '  '.repeat(depth);
  const lines: string[] = [];
  const children = Object.values(node.states);
  for (const child of children) {
    if (Object.keys(child.states).length === 0) continue;
    lines.push(`${pad}state ${name(child)} {`, ...inside(child, depth + 1), `${pad}}`);
  }
  const [first] = node.initial?.target ?? [];
  if (first) lines.push(`${pad}[*] --> ${name(first)}`);
  for (const child of children) {
    const arrows = new Map<string, string[]>();
    for (const transition of transitionsOf(child)) {
      for (const target of transition.target ?? []) {
        arrows.set(name(target), [...(arrows.get(name(target)) ?? []), label(transition)]);
      }
    }
    for (const [target, labels] of arrows)
      lines.push(`${pad}${name(child)} --> ${target} : ${[...new Set(labels)].join(', ')}`);
    if (child.type === 'final') lines.push(`${pad}${name(child)} --> [*]`);
  }
  return lines;
}

/** Rows of what each state means: its description, or the effect that it lasts for. */
function meanings(node: AnyStateNode): string[] {
  return Object.values(node.states).flatMap((child) => {
    const effects = child.invoke
      .flatMap(({ src }) => (typeof src === 'string' ? [`\`${src}\``] : []))
      .join(', ');
    const lasts = isWorking(child) ? `While ${effects} runs.` : '';
    const text = [child.description, lasts].filter(Boolean).join(' ');
    const row = text === '' ? [] : [`| \`${child.path.join('.')}\` | ${text} |`];
    return [...row, ...meanings(child)];
  });
}

export function describeMachine(machine: AnyStateMachine): string {
  return [
    '```mermaid',
    'stateDiagram-v2',
    ...inside(machine.root, 1),
    '```',
    '',
    '| state | meaning |',
    '| --- | --- |',
    ...meanings(machine.root),
  ].join('\n');
}
