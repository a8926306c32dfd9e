import { Flag } from '../../ring/layout.ts';
import { XenbusState } from '../../xenbus/state.ts';
import { anyState, type FrontendVariant } from './variant.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

/** Own states in which it still heeds a back-end that goes away; one that is Reconfiguring stays there (pcifront_try_disconnect). */
const beforeClosing = [Initialising, InitWait, Initialised, Connected];

/** Linux's pcifront (drivers/pci/xen-pcifront.c). */
export const linux: FrontendVariant = {
  name: 'linux',
  pageFlags: Flag.aerHandler,
  width: 'natural',
  answerTimeout: 2_000,
  stateWithKeys: false,
  begins: { own: [Initialising], backend: anyState },
  discovery: 'probe',
  reactions: [
    { backend: Connected, own: [Initialised], steps: ['connect'], goesTo: Connected },
    { backend: Reconfiguring, own: [Connected], steps: ['dropClosing'], goesTo: Reconfiguring },
    { backend: Reconfigured, own: [Reconfiguring], steps: ['rescan'], goesTo: Connected },
    { backend: Closing, own: beforeClosing, steps: ['disconnect'], goesTo: Closed },
    { backend: Closed, own: beforeClosing, steps: ['disconnect'], goesTo: Closed },
  ],
  // The shutdown path of the xenbus core (xenbus_dev_shutdown).
  closing: [
    { write: Closing, until: { atLeast: Closing, atMost: Closed } },
    { write: Closed, until: { atLeast: Closed, atMost: Closed } },
  ],
  removesOnClose: [],
};
