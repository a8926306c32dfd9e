/** In which ways a guest's function can signal, as the engine grants them: judged before there is a guest. */
import { Header } from './bits.ts';
import { byteAt } from './image.ts';
import type { CompiledFilter } from './compile.ts';

export interface Signalling {
  readonly msi: boolean;
  readonly msix: boolean;
  /** It has an interrupt pin; whether the line leads anywhere is for the host to say. */
  readonly intx: boolean;
}

/** What `grantMsi` and `grantMsix` ask of a filter before they grant anything. */
export const signallingOf = ({ seized, msiControl, msix }: CompiledFilter): Signalling => ({
  msi: msiControl !== 0,
  msix: msix !== undefined,
  intx: byteAt(seized.config, Header.interruptPin) !== 0,
});
