import { XenbusState } from '../../xenbus/state.ts';
import { anyState, type FrontendVariant } from './variant.ts';

const { Initialising, InitWait, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } =
  XenbusState;

const connected = [Connected, Reconfiguring];

/**
 * mini-os's pcifront, the front-end of stub domains: is told host addresses and looks them up in `dev-N` and `vdev-N`, takes
 * part in a reconfiguration without doing anything about it, and begins again after every close.
 */
export const minios: FrontendVariant = {
  name: 'minios',
  pageFlags: 0,
  width: 'natural',
  answerTimeout: Infinity,
  stateWithKeys: true,
  begins: { own: anyState, backend: [Initialising, InitWait, Initialised, Connected] },
  discovery: 'listed',
  reactions: [
    { backend: Connected, own: [Initialised], steps: ['connect'], goesTo: Connected },
    // A handshake that ends anywhere but in Connected is given up without a word, and begun anew when it can be.
    ...[Closing, Closed, Reconfiguring, Reconfigured].map((backend) => ({
      backend,
      own: [Initialised],
      steps: ['disconnect'] as const,
    })),
    { backend: Reconfiguring, own: connected, steps: [], goesTo: Reconfiguring },
    { backend: Reconfigured, own: connected, steps: [], goesTo: Connected },
    { backend: Closing, own: connected, steps: ['restart'] },
  ],
  closing: [
    { write: Closing, until: { atLeast: Closing, atMost: Reconfigured } },
    { write: Closed, until: { atLeast: Closed, atMost: Reconfigured } },
    { write: Initialising, until: { atLeast: InitWait, atMost: Closing } },
  ],
  removesOnClose: ['event-channel'],
};
