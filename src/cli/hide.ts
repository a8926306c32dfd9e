import type { HideOutcome } from '../index.ts';
import { readNames } from '../toolstack/grammars.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { namedFunctions, readName } from './named.ts';
import { findTarget, whileConnected } from './target.ts';

export const hide = defineCommand({
  operands: 'SPEC...',
  arity: [1, Number.POSITIVE_INFINITY],
  description: `Takes functions from their host drivers, so that guests can have them. A SPEC names a function as 03:00.0, or all functions of a slot as 03:00.*; spellings of other programs are understood as for attach. A function that is hidden already stays as it is, but for its stub: with xen-pciback loaded toolstacks look for it there. One that the host is using - a mounted file system, an interface with addresses, a console - is refused, with the name of what uses it; so is one that no guest could ever be given: a host bridge, and with the virtual bus any bridge.

The daemon remembers: a function stays hidden until it is unhidden, whatever --hide of the next daemon says.`,
  examples: [
    { line: 'pciback hide 03:00.0', does: 'take one function' },
    { line: "pciback hide '03:00.*' 04:00.0", does: 'take a slot and another function' },
  ],
  options: {
    ...loopbackOption,
    force: { type: 'boolean', help: 'take it although the host is using it: what runs there fails' },
  },
  async run({ options, positionals }, { output, signal }) {
    const specs = positionals.map(readName);
    const force = options.force ?? false;
    await whileConnected(findTarget(options.loopback), async ({ daemon, store }) => {
      const host = hostFunctions(await askInventory(daemon, signal), await readNames(store));
      const done = [];
      for (const sbdf of namedFunctions(specs, host)) {
        const outcome = await daemon.call<HideOutcome>('hide', { function: sbdf, force }, { signal });
        const { state, already, moved } = outcome;
        done.push({ sbdf, state, moved });
        const where = moved ? `, and was moved from ${moved.from} to ${moved.to}` : '';
        if (!options.json) output.print(already ? `${sbdf} is ${state} already${where}` : `${sbdf} hidden`);
      }
      if (options.json) output.printJson(done);
    });
  },
});
