/** Attempts that are a sequence of requests. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WireError } from '../../ring/layout.ts';
import { offsetOf } from '../capabilities.ts';
import { allOnes } from '../config.ts';
import { CapabilityId, Register } from '../registers.ts';
import type { GuestBus } from '../bus.ts';
import type { GuestFunction } from '../enumerate.ts';
import { absent, type DeedAttempt, type HostileContext } from './attempt.ts';
import { describeError, describeWrite } from './describe.ts';

/** A reset of a function takes up to a second (PCI Express 3.0, 6.6.2 asks for 100 ms); the back-end may take a few. */
const longestReset = 10_000;
const resetPoll = 10;

/**
 * Enables interrupts in every order that the protocol forbids (XSA-157), and leaves the mode as it was. Runs only while the
 * legacy interrupt is in use, so as not to take a driver's vectors away.
 */
export const interruptOrder: DeedAttempt = {
  kind: 'deed',
  name: 'interrupts-out-of-order',
  aim: 'leak vectors by enabling what is enabled, and both kinds at once',
  run: ({ bus, fn }) => {
    const request = 'enable MSI twice, MSI-X over MSI, MSI over MSI-X';
    const isFree = ['none', 'intx'].includes(bus.interrupts(fn.address).mode);
    if (!isFree || !fn.msi || !fn.msix) return Promise.resolve(absent(request));
    const { requester } = bus;
    const { address } = fn;
    const before = bus.enable(address);
    const first = requester.enableMsi(address);
    const wrong = [requester.enableMsi(address), requester.enableMsix(address, [0]).err];
    requester.disableMsi(address);
    const second = requester.enableMsix(address, [0]).err;
    wrong.push(requester.enableMsix(address, [0]).err, requester.enableMsi(address));
    requester.disableMsix(address);
    bus.config(address).write(Register.command, 2, before);
    const held = wrong.every((err) => err === WireError.operationFailed) && first === 0 && second === 0;
    return Promise.resolve({
      request,
      answer: [...new Set(wrong)].map(describeError).join(', '),
      verdict: held ? ('refused' as const) : ('breached' as const),
    });
  },
};

/** Where a function has its two kinds of reset bit: Device Control in PCI Express, and the Advanced Features capability. */
const resetBits = [
  { name: 'flr', id: CapabilityId.pciExpress, offset: 8, size: 2, bit: 0x8000 },
  { name: 'af-flr', id: CapabilityId.advancedFeatures, offset: 4, size: 1, bit: 0x01 },
] as const;

/**
 * A reset asked for by the guest must never reach the device as it is: the back-end drops it, or runs the reset itself and
 * restores the function. Meanwhile reads may give all ones; afterwards everything must be as it was.
 */
export const functionLevelResets: readonly DeedAttempt[] = resetBits.map(
  ({ name, id, offset, size, bit }) => ({
    kind: 'deed',
    name,
    aim: 'reset the function behind the back-end’s back, to lose what the host has set up in it',
    run: async ({ bus, fn }: HostileContext) => {
      const capability = offsetOf(fn.capabilities, id);
      if (capability === undefined) return absent(`set the ${name} bit`);
      const config = bus.config(fn.address);
      const before = config.read(capability + offset, size);
      const err = config.write(capability + offset, size, before | bit);
      const request = describeWrite(capability + offset, size, before | bit);
      const survived = await returnsAs(bus, fn);
      const after = config.read(capability + offset, size);
      const held =
        survived && (after & bit) === 0 && (err === WireError.success || err === WireError.accessDenied);
      const state = survived ? 'the function is as it was' : 'the function did not come back';
      return { request, answer: `${describeError(err)}, ${state}`, verdict: held ? 'contained' : 'breached' };
    },
  }),
);

/** Waits while reads give all ones, then compares identity and BARs with what the scan found. */
async function returnsAs(bus: GuestBus, fn: GuestFunction): Promise<boolean> {
  const config = bus.config(fn.address);
  const deadline = performance.now() + longestReset;
  while (config.read(Register.id, 4) === allOnes(4)) {
    if (performance.now() > deadline) return false;
    await sleep(resetPoll);
  }
  if (config.read(Register.id, 4) !== ((fn.device << 16) | fn.vendor) >>> 0) return false;
  return fn.bars
    .filter(({ kind }) => kind === 'memory32' || kind === 'memory64')
    .every(
      ({ index, base }) =>
        BigInt(config.read(Register.bar0 + 4 * index, 4) & ~0xf) === BigInt.asIntN(32, base),
    );
}
