/** The text of machines/README.md. `npm run docs` writes it, a test holds the file against it. */
import { describeMachine } from './diagram.ts';
import { functionMachine } from './function.ts';
import { guestMachine } from './guest.ts';
import { supervisorMachine } from './supervisor.ts';

const chapters = [
  [
    'A function',
    'From the moment it is taken from its host driver until it is given back. Lives in the worker of the guest that has it.',
    functionMachine,
  ],
  [
    'A guest',
    'The back-end’s side of one xenbus handshake. Labels without an event are conditions on what the two directories say; they are looked at whenever one of them has changed.',
    guestMachine,
  ],
  ['The daemon', 'What must have been done before it is ready, and how it ends.', supervisorMachine],
] as const;

export function document(): string {
  const parts = chapters.map(
    ([title, introduction, machine]) => `## ${title}\n\n${introduction}\n\n${describeMachine(machine)}\n`,
  );
  return `# The machines\n\nDrawn from the machines by \`npm run docs\`; do not edit.\n\n${parts.join('\n')}`;
}
