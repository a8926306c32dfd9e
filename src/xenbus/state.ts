import { withoutTerminator } from './text.ts';

/** The states of a xenbus device, as both ends write them into their `state` key (xen/include/public/io/xenbus.h). */
export const XenbusState = {
  Unknown: 0,
  Initialising: 1,
  InitWait: 2,
  Initialised: 3,
  Connected: 4,
  Closing: 5,
  Closed: 6,
  Reconfiguring: 7,
  Reconfigured: 8,
} as const;
export type XenbusState = (typeof XenbusState)[keyof typeof XenbusState];

const names = Object.keys(XenbusState) as (keyof typeof XenbusState)[];

export const xenbusStateName = (state: XenbusState): keyof typeof XenbusState => names[state] ?? 'Unknown';

/** Reads a `state` key. Missing or malformed text is `Unknown`, as in every xenbus implementation. */
export function parseXenbusState(text: string | undefined): XenbusState {
  const digit = withoutTerminator(text ?? '');
  return /^[0-8]$/.test(digit) ? (Number(digit) as XenbusState) : XenbusState.Unknown;
}
