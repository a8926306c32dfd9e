/**
 * Has V8 make no machine code of JavaScript. What a guest waits for in JavaScript is its handshake, its writes and the take-over by
 * another thread or process: code that runs a few times in a guest's life, so that what is compiled for one guest is of use to the next
 * one at best. The interpreter is as fast the first time as ever after, and nothing compiles beside it on the processor that the guest
 * waits for. Plain reads, which are what there is much of, are answered in native code (native/guest_bus.cc).
 */
import { setFlagsFromString } from 'node:v8';

// Not --regexp-interpret-all: V8 dies when that is set after it has started.
const flags = [
  '--no-turbofan',
  // Off by itself up to Node.js 20.
  '--no-maglev',
  '--no-sparkplug',
  // The interpreter remembers where it has found a property from the first time on, not only in what has run for a while.
  '--no-lazy-feedback-allocation',
];

/** For the whole process, all threads that it has or will have. What has been compiled already stays. */
export function interpretOnly(): void {
  for (const flag of flags) setFlagsFromString(flag);
}
