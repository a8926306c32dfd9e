/**
 * V8 begins with a young generation of a megabyte, which is full after a step or two of a guest's handshake; collecting it takes a slow
 * dom0 longer than the step. So it is collected while a guest is not waiting, right before it will be.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (how: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

/** Collects the young generation of this thread when what is under way has had its turn. */
export function collectSoon(): void {
  collect ??= exposed();
  setImmediate(collect, { type: 'minor' });
}

/** What `node --expose-gc` would offer to everybody. */
function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return found;
}
