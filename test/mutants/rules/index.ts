import type { Mutant } from '../mutant.ts';
import { cli } from './cli.ts';
import { filter } from './filter.ts';
import { host } from './host.ts';
import { monitor } from './monitor.ts';
import { ownership } from './ownership.ts';
import { ring } from './ring.ts';
import { state } from './state.ts';
import { toolstack } from './toolstack.ts';
import { xenbus } from './xenbus.ts';
import { xenstored } from './xenstored.ts';

/** All of them. Those of one area stand together, and what needs the addon or the bundle to be built comes last in it. */
export const mutants: readonly Mutant[] = [
  ...filter,
  ...ring,
  ...ownership,
  ...state,
  ...xenbus,
  ...xenstored,
  ...toolstack,
  ...host,
  ...monitor,
  ...cli,
];
