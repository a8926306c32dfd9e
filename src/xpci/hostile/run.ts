import { Command, WireError } from '../../ring/layout.ts';
import { requestAddress } from '../requests.ts';
import {
  absent,
  type Attempt,
  type AttemptResult,
  type HostileContext,
  type RequestAttempt,
  type WriteAttempt,
} from './attempt.ts';
import { describeAnswer, describeError, describeRequest, describeWrite, hex } from './describe.ts';
import { allOnes } from '../config.ts';

/** Tries one thing and says what became of it. */
export async function attempt(what: Attempt, context: HostileContext): Promise<AttemptResult> {
  const outcome =
    what.kind === 'write'
      ? tryWrite(what, context)
      : what.kind === 'request'
        ? tryRequest(what, context)
        : await what.run(context);
  return { name: what.name, ...outcome };
}

type Outcome = Omit<AttemptResult, 'name'>;

/** A write may be refused or dropped without a word; either way the register must read as before. */
function tryWrite(what: WriteAttempt, { bus, fn }: HostileContext): Outcome {
  const offset = what.at(fn);
  if (offset === undefined) return absent(what.aim);
  const config = bus.config(fn.address);
  const before = config.read(offset, what.size);
  const value = (what.value(before) & allOnes(what.size)) >>> 0;
  const { err } = bus.requester.send({
    cmd: Command.confWrite,
    ...requestAddress(fn.address),
    offset,
    size: what.size,
    value,
  });
  const after = config.read(offset, what.size);
  // What got through, or seems to have, must not spoil the attempts that follow.
  if (after !== before) config.write(offset, what.size, before);

  const request = describeWrite(offset, what.size, value);
  const isKept = ((after ^ before) & (what.keeps ?? allOnes(what.size))) === 0;
  const reads = `reads ${hex(after, 2 * what.size)}${isKept ? ' as before' : ''}`;
  const answer = `${describeError(err)}, ${reads}`;
  if (err === WireError.accessDenied && isKept) return { request, answer, verdict: 'refused' };
  if (err === WireError.success && what.shadowed) return { request, answer, verdict: 'shadowed' };
  if (err === WireError.success && isKept) return { request, answer, verdict: 'ignored' };
  return { request, answer, verdict: 'breached' };
}

function tryRequest(what: RequestAttempt, { bus, fn }: HostileContext): Outcome {
  const request = what.request(fn, bus);
  const answer = bus.requester.send(request);
  // An enable that should have been refused must not stand in the way of the next one.
  if (answer.err === WireError.success && request.cmd === Command.enableMsix)
    bus.requester.disableMsix(fn.address);
  return {
    request: describeRequest(request),
    answer: describeAnswer(answer),
    verdict: answer.err === what.err ? 'refused' : 'breached',
  };
}
