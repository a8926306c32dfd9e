/** Attempts that go around the requests: at the shared page itself, and at the event channel. */
import { Flag, PageOffset, pageSize } from '../../ring/layout.ts';
import { Register } from '../registers.ts';
import { absent, type DeedAttempt, type HostileContext } from './attempt.ts';
import { flagsOf, setFlags } from './raw-page.ts';

const stormSize = 100_000;

/** Events without requests must neither be mistaken for any, nor keep others waiting (XSA-332). */
const eventStorm: DeedAttempt = {
  kind: 'deed',
  name: 'event-storm',
  aim: 'keep the back-end busy with nothing',
  run: ({ bus, fn, page }) => {
    const request = `${stormSize} events without a request`;
    if (!page) return Promise.resolve(absent(request));
    for (let i = 0; i < stormSize; i += 1) page.notify();
    return Promise.resolve({ request, ...stillServed({ bus, fn, page }) });
  },
};

/** The AER bits belong to the back-end (bit 2) and to the handshake (bit 1): a guest that sets them means nothing by it. */
const forgedAer: DeedAttempt = {
  kind: 'deed',
  name: 'forge-aer',
  aim: 'answer an AER request that was never made',
  run: ({ bus, fn, page }) => {
    const request = 'set flag bit 2 with an answer in aer_op';
    if (!page) return Promise.resolve(absent(request));
    const before = flagsOf(page);
    page.write(PageOffset.aerOp, Buffer.alloc(PageOffset.end - PageOffset.aerOp, 0xff));
    setFlags(page, before | Flag.aerActive);
    page.notify();
    const outcome = stillServed({ bus, fn, page });
    const isLeft = (flagsOf(page) & Flag.aerActive) !== 0;
    setFlags(page, before);
    page.notify();
    return Promise.resolve({
      request,
      answer: `${outcome.answer}, the bit ${isLeft ? 'was left alone' : 'was cleared'}`,
      verdict: isLeft ? outcome.verdict : ('breached' as const),
    });
  },
};

/** A flag word full of ones, and a page full of rubbish around it. */
const rubbish: DeedAttempt = {
  kind: 'deed',
  name: 'rubbish-page',
  aim: 'make the back-end read what lies behind the protocol',
  run: ({ bus, fn, page }) => {
    const request = 'fill the page with ones, all flags set';
    if (!page) return Promise.resolve(absent(request));
    const flags = flagsOf(page);
    page.write(PageOffset.op, Buffer.alloc(pageSize - PageOffset.op, 0xff));
    setFlags(page, 0xffff_fffe);
    page.notify();
    setFlags(page, flags);
    return Promise.resolve({ request, ...stillServed({ bus, fn, page }) });
  },
};

/** Whether an honest read of the identity is answered as ever. */
function stillServed({ bus, fn }: HostileContext): { answer: string; verdict: 'contained' | 'breached' } {
  const identity = bus.config(fn.address).read(Register.id, 4);
  const held = identity === ((fn.device << 16) | fn.vendor) >>> 0;
  return {
    answer: held ? 'served as before' : 'not served any more',
    verdict: held ? 'contained' : 'breached',
  };
}

export const pageDeeds: readonly DeedAttempt[] = [forgedAer, rubbish, eventStorm];
