import { type Quirk, formatQuirk, parseQuirk } from '../config-space/index.ts';
import type { QuirkOutcome } from '../index.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { connectDaemon, findTarget } from './target.ts';

export const quirk = defineCommand({
  operands: 'QUIRK...',
  arity: [1, Number.POSITIVE_INFINITY],
  description: `Lets the guest that has a hidden function write registers that no rule is known for, from its next request on. A QUIRK is ADDRESS-REGISTER:SIZE:MASK, all in hexadecimal as for the quirks attribute of Linux xen-pciback: 03:00.0-40:1:3 opens bits 0 and 1 of the byte at 0x40. The mask is kept to, bit by bit; registers with a rule of their own stay as they are. pciback explain proposes the quirks that a guest's driver seems to need.

A quirk holds until the guest gives the function back; given to a function that nobody has, it is for the next guest. It takes the place of those that it overlaps, and with mask 0 takes them back.`,
  examples: [
    { line: 'pciback quirk 03:00.0-40:1:3', does: 'let two bits of a byte through' },
    { line: 'pciback quirk 03:00.0-40:1:0', does: 'and no longer' },
  ],
  options: loopbackOption,
  async run({ options, positionals }, { output, signal }) {
    const quirks = positionals.map(parseQuirk);
    const daemon = await connectDaemon(findTarget(options.loopback));
    try {
      const outcomes = [];
      for (const each of quirks) {
        const outcome = await daemon.call<QuirkOutcome>('quirk', { quirk: formatQuirk(each) }, { signal });
        outcomes.push(outcome);
        if (!options.json) output.print(told(each, outcome));
      }
      if (options.json) output.printJson(outcomes);
    } finally {
      daemon.close();
    }
  },
});

function told({ mask }: Quirk, { quirk: spelling, changed, replaced }: QuirkOutcome): string {
  if (mask === 0) return changed ? `${replaced.join(', ')} taken back` : `${spelling}: no quirk to take back`;
  if (!changed) return `${spelling} is applied already`;
  return `${spelling} applied${replaced.length > 0 ? `, in the place of ${replaced.join(', ')}` : ''}`;
}
