/** Requests that change while the back-end looks at them. */
import { Command, Flag, opSize, OpWord, PageOffset } from '../../ring/layout.ts';
import { Register } from '../registers.ts';
import { requestAddress, type RawAnswer, type RawRequest } from '../requests.ts';
import { absent, type DeedAttempt, type HostileContext } from './attempt.ts';
import { describeAnswer } from './describe.ts';
import { flagsOf, isActive, littleEndian, setFlags, type RawPage } from './raw-page.ts';

/** How often each race is run. */
const raceRounds = 200;
/** How often a request is rewritten while the back-end works on it, at most. */
const rewrites = 40;
/** Milliseconds until a raced request is given up. A real front-end gives up after 2 s. */
const raceTimeout = 2_000;

interface Race {
  readonly name: string;
  readonly aim: string;
  readonly request: string;
  /**
   * The field that changes back and forth, and its two values. They differ in one byte: the kernel copies a write of four
   * bytes one by one, and a mixture of the two would be a third value.
   */
  readonly field: 'cmd' | 'offset' | 'size' | 'value';
  readonly values: readonly [number, number];
  readonly rest: Partial<RawRequest>;
}

/**
 * Rewrites one field of a request while the back-end looks at it. A back-end that reads the field twice checks one value and
 * uses the other (XSA-155). One that reads it once answers as for the one value or as for the other.
 */
const table: readonly Race[] = [
  {
    name: 'rewrite-offset',
    aim: 'have one offset checked and another one used',
    request: 'read 0x000/4, offset flickering to -0x80000000',
    field: 'offset',
    values: [0, -0x8000_0000],
    rest: { cmd: Command.confRead, size: 4 },
  },
  {
    name: 'rewrite-size',
    aim: 'have one size checked and another one used',
    request: 'read 0x000/4, size flickering to 64',
    field: 'size',
    values: [4, 64],
    rest: { cmd: Command.confRead },
  },
  {
    name: 'rewrite-command',
    aim: 'have a read checked and a write done',
    request: 'read 0x010/4, command flickering to write',
    field: 'cmd',
    values: [Command.confRead, Command.confWrite],
    rest: { offset: Register.bar0, size: 4, value: 0xd000_0000 },
  },
  {
    name: 'rewrite-count',
    aim: 'have one count of MSI-X entries checked and another one used',
    request: 'enableMsix n=0 flickering to n=0x10000',
    field: 'value',
    values: [0, 0x1_0000],
    rest: { cmd: Command.enableMsix },
  },
];

export const races: readonly DeedAttempt[] = table.map((race) => ({
  kind: 'deed',
  name: race.name,
  aim: race.aim,
  run: async (context) => {
    const { bus, fn, page } = context;
    if (!page) return absent(race.request);
    const honest = race.values.map((value) => requestOf(race, context, value));
    const before = bus.config(fn.address).read(Register.bar0, 4);
    const legitimate = new Set(
      honest.map((request) => describeAnswer(maskValue(bus.requester.send(request)))),
    );
    let answered = 0;
    const strange = new Set<string>();
    for (let round = 0; round < raceRounds; round += 1) {
      const answer = await raceOnce(page, race, honest[0] ?? { cmd: 0 });
      if (answer.err !== null) answered += 1;
      const text = describeAnswer(maskValue(answer));
      if (answer.err !== null && !legitimate.has(text)) strange.add(text);
    }
    const intact = bus.config(fn.address).read(Register.bar0, 4) === before;
    const answer =
      strange.size > 0
        ? `answered with ${[...strange].slice(0, 3).join('; ')}`
        : `${answered} of ${raceRounds} answered, each for one of the two values`;
    const held = strange.size === 0 && intact && answered > 0;
    return { request: race.request, answer, verdict: held ? 'contained' : 'breached' };
  },
}));

const requestOf = (race: Race, { fn }: HostileContext, value: number): RawRequest => ({
  cmd: Command.confRead,
  ...requestAddress(fn.address),
  ...race.rest,
  [race.field]: value,
});

/** Where the raced field is `value` itself, what is left in it after an error is the guest's own doing. */
const maskValue = (answer: RawAnswer): RawAnswer => (answer.err === 0 ? answer : { ...answer, value: 0 });

/** Publishes the request by hand, rewrites it as fast as it can, then waits for bit 0 to go. */
async function raceOnce(page: RawPage, race: Race, request: RawRequest): Promise<RawAnswer> {
  page.write(PageOffset.op, encode(request));
  setFlags(page, flagsOf(page) | Flag.requestActive);
  page.notify();

  const [first, second] = race.values.map(littleEndian);
  for (let i = 0; i < rewrites && isActive(page); i += 1) {
    page.write(PageOffset.op + 4 * OpWord[race.field], (i % 2 === 0 ? second : first) ?? Buffer.alloc(4));
  }
  // Left at rest, the request must be answered: a back-end that saw it change may have dropped its first answer.
  if (isActive(page)) {
    page.write(PageOffset.op + 4 * OpWord[race.field], first ?? Buffer.alloc(4));
    page.notify();
  }
  const deadline = performance.now() + raceTimeout;
  while (isActive(page)) {
    if (performance.now() > deadline) {
      setFlags(page, flagsOf(page) & ~Flag.requestActive);
      return { err: null, value: 0 };
    }
    await new Promise(setImmediate);
  }
  return {
    err: page.read(PageOffset.op + 4 * OpWord.err, 4).readInt32LE(),
    value: page.read(PageOffset.op + 4 * OpWord.value, 4).readUInt32LE(),
  };
}

function encode(request: RawRequest): Buffer {
  const op = new Int32Array(opSize / 4);
  for (const field of ['cmd', 'domain', 'bus', 'devfn', 'offset', 'size', 'value'] as const) {
    op[OpWord[field]] = request[field] ?? 0;
  }
  return Buffer.from(op.buffer);
}
