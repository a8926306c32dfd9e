import type { UnhideOutcome } from '../index.ts';
import { readNames } from '../toolstack/grammars.ts';
import { defineCommand, loopbackOption } from './command.ts';
import { askInventory, hostFunctions } from './inventory.ts';
import { namedFunctions, readName } from './named.ts';
import { findTarget, whileConnected } from './target.ts';

export const unhide = defineCommand({
  operands: 'SPEC...',
  arity: [1, Number.POSITIVE_INFINITY],
  description: `Gives hidden functions back to the host, each to the driver that had it. A function that a guest has is refused: detach it first. So is one in quarantine, which may still do what its last guest told it. One that other hands have taken from its stub is the host's already, and only cleared up after. Names are written as for hide.`,
  examples: [{ line: 'pciback unhide 03:00.0', does: 'give 03:00.0 back' }],
  options: {
    ...loopbackOption,
    force: { type: 'boolean', help: 'give it back although its reset has failed' },
  },
  async run({ options, positionals }, { output, signal }) {
    const specs = positionals.map(readName);
    const force = options.force ?? false;
    await whileConnected(findTarget(options.loopback), async ({ daemon, store }) => {
      const host = hostFunctions(await askInventory(daemon, signal), await readNames(store));
      const functions = namedFunctions(specs, host);
      for (const sbdf of functions) {
        const { takenBy } = await daemon.call<UnhideOutcome>('unhide', { function: sbdf, force }, { signal });
        const taken = takenBy === null ? 'again' : `already: ${takenBy} has it`;
        if (!options.json) output.print(`${sbdf} is the host's ${taken}`);
      }
      if (options.json) output.printJson(functions.map((sbdf) => ({ sbdf, state: 'host' })));
    });
  },
});
