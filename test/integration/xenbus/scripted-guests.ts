import { afterAll } from 'vitest';
import { Host } from '../host.ts';
import { Script } from '../script.ts';
import { ac97, e1000e, igb, nvme, rtl8139, xhci } from '../surroundings.ts';

/** A real back-end for the tests of a file, and guests of it whose toolstack and front-end are scripted: each a new domain. */
export async function scriptedGuests() {
  const host = await Host.start([e1000e, nvme, xhci, rtl8139, ac97, igb]);
  afterAll(() => host[Symbol.asyncDispose]());
  let lastDomid = 0;
  const begin = (): Promise<Script> => Script.begin(host, ++lastDomid);
  return { host, begin };
}

/** What a guest is answered at an address where there is a function, and where there is none. */
export const found = { err: 0 };
export const notFound = { err: -1 };
