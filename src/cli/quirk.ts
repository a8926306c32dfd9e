import { formatQuirk, parseQuirk } from '../config-space/index.ts';
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
      for (const text of quirks.map(formatQuirk)) await daemon.call('quirk', { quirk: text }, { signal });
    } finally {
      daemon.close();
    }
    if (options.json) return output.printJson(quirks.map(formatQuirk));
    for (const each of quirks)
      output.print(`${formatQuirk(each)} ${each.mask === 0 ? 'taken back' : 'applied'}`);
  },
});
