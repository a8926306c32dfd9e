import { XenbusState } from '../../xenbus/state.ts';
import { anyState, type FrontendVariant } from './variant.ts';

const { Initialising, Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } = XenbusState;

/**
 * NetBSD's xpci (sys/arch/xen/xen/xpci_xenbus.c): reaches everything in double words, never gives a request up, and takes any
 * back-end state beyond Closing for a reason to panic. It cannot be detached, so it has no way of closing.
 */
export const netbsd: FrontendVariant = {
  name: 'netbsd',
  pageFlags: 0,
  width: 'dword',
  answerTimeout: Infinity,
  stateWithKeys: true,
  begins: { own: [Initialising], backend: anyState },
  discovery: 'probe',
  reactions: [
    { backend: Connected, own: [Initialised], steps: ['connect'], goesTo: Connected },
    { backend: Closing, own: [Initialised, Connected], steps: [], goesTo: Closed },
    { backend: Closed, own: anyState, steps: ['panic'] },
    { backend: Reconfiguring, own: anyState, steps: ['panic'] },
    { backend: Reconfigured, own: anyState, steps: ['panic'] },
  ],
  closing: [],
  removesOnClose: [],
};
