import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { type Snapshot, createActor } from 'xstate';
import { type FunctionContext, functionMachine } from '../../machines/function.ts';
import { makeSbdf } from '../../src/address.ts';
import { defaultMode, seize } from '../../src/config-space/index.ts';
import { PcibackError } from '../../src/errors.ts';
import {
  type Delay,
  type FunctionFacts,
  LoopbackPlatform,
  ModelFault,
  captureInventory,
  openModel,
} from '../../src/host/index.ts';
import type { Belongings } from '../../src/host/platform.ts';
import { grantMsix } from '../../src/ring/vectors.ts';
import { opWords } from '../host/loopback-setting.ts';
import { AssignedFunction } from '../../workers/assigned-function.ts';
import type { Assignment, FromWorker } from '../../workers/messages.ts';

const guestAddress = makeSbdf(0, 0, 0, 0);
const command = 0x04;
const master = 0x4;
const bar = 0x10;

/** A captured function that can be reset by itself. */
const facts: FunctionFacts =
  captureInventory().functions.find(({ resetMethods }) => resetMethods.includes('flr')) ??
  expect.unreachable();
const hidden = createActor(functionMachine, { input: { sbdf: facts.sbdf } }).getPersistedSnapshot();

let directory: string;
let platform: LoopbackPlatform;
/** Resets under way: each ends when the test lets it. */
let resets: (() => void)[];
const heldBack: Delay = () => new Promise((resolve) => resets.push(resolve));

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pciback-assigned-'));
  mkdirSync(join(directory, 'evt/0'), { recursive: true });
  resets = [];
  platform = new LoopbackPlatform(directory, heldBack);
  await platform.takeFromHost(facts);
});
afterEach(() => {
  platform.close();
  rmSync(directory, { recursive: true, force: true });
});

function assign(
  snapshot: Snapshot<unknown>,
  reports: FromWorker[] = [],
  others: () => readonly Belongings[] = () => [],
): AssignedFunction {
  const hardware = platform.openFunction(facts.sbdf);
  const assignment: Assignment = {
    sbdf: facts.sbdf,
    guestAddress,
    mode: defaultMode,
    snapshot,
    seized: seize(hardware, facts),
  };
  return new AssignedFunction(platform, 5, assignment, (report) => reports.push(report), others);
}

const lastSnapshot = (reports: readonly FromWorker[]): Snapshot<unknown> => {
  const change = reports.findLast((report) => report.is === 'function');
  return change?.snapshot ?? expect.unreachable();
};

/** Has every write to the hardware that is opened from now on told before it is made; it is made only if that gives true. */
function onWrite(isMade: (offset: number, size: number, value: number) => boolean): void {
  const open = platform.openFunction.bind(platform);
  vi.spyOn(platform, 'openFunction').mockImplementation((sbdf) => {
    const hardware = open(sbdf);
    const write = hardware.write.bind(hardware);
    hardware.write = (offset, size, value) => {
      if (isMade(offset, size, value)) write(offset, size, value);
    };
    return hardware;
  });
}

function heldTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Where the FLR bit is: bit 15 of device control, 8 bytes into the PCI Express capability. */
function askForReset(assigned: AssignedFunction): void {
  let at = facts.config[0x34] ?? 0;
  while (facts.config[at] !== 0x10) at = facts.config[at + 1] ?? expect.unreachable();
  assigned.filter.write(at + 8, 2, 0x8000);
}

const nextReset = async (): Promise<() => void> => {
  for (;;) {
    const end = resets.shift();
    if (end) return end;
    await new Promise((resolve) => setImmediate(resolve));
  }
};

test('a reset that the guest asked for gives nothing back once the function is taken away', async () => {
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  assigned.filter.write(command, 2, 0x7);
  const hardware = platform.openFunction(facts.sbdf);
  expect(hardware.read(command, 2) & master).toBe(master);

  askForReset(assigned);
  const endOfGuests = await nextReset();
  const released = assigned.release();
  endOfGuests();
  // Only now ours begins, and at no time between is the function a bus master again.
  const endOfOurs = await nextReset();
  expect(hardware.read(command, 2) & master).toBe(0);
  endOfOurs();
  await released;
  expect(hardware.read(command, 2) & master).toBe(0);
});

test('a function masters no bus any more when anything of it is unmapped or taken (XSA-302)', async () => {
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  assigned.filter.write(command, 2, 0x7);
  const op = new Int32Array(opWords);
  expect(grantMsix(assigned, op, 1)).toBe(true);
  const hardware = platform.openFunction(facts.sbdf);
  expect(hardware.read(command, 2) & master).toBe(master);
  const seen: [string, number][] = [];
  for (const name of ['unmapPirq', 'revoke', 'deassign'] as const) {
    const before = platform[name].bind(platform) as (...args: unknown[]) => void;
    vi.spyOn(platform, name).mockImplementation((...args: unknown[]) => {
      seen.push([name, hardware.read(command, 2) & master]);
      before(...args);
    });
  }
  const released = assigned.release();
  (await nextReset())();
  await released;
  expect(seen).toEqual([
    ['unmapPirq', 0],
    ['revoke', 0],
    ['deassign', 0],
  ]);
});

test('a guest’s reset that ends after the function was taken away switches nothing on, not even for a moment', async () => {
  const writes: number[] = [];
  onWrite((offset, _size, value) => {
    if (offset === command) writes.push(value & master);
    return true;
  });
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  assigned.filter.write(command, 2, 0x7);
  askForReset(assigned);
  const endOfGuests = await nextReset();
  const released = assigned.release();
  expect(writes).toContain(master);
  writes.length = 0;
  endOfGuests();
  (await nextReset())();
  await released;
  expect(writes).not.toContain(master);
});

test('a function that is not as it was after its reset is quarantined (XSA-306)', async () => {
  const reports: FromWorker[] = [];
  const assigned = assign(hidden, reports);
  let isDeaf = false;
  onWrite((offset) => !isDeaf || offset < bar || offset >= bar + 24);
  await assigned.bind();
  assigned.connect();
  isDeaf = true;
  const released = assigned.release();
  (await nextReset())();
  await released;
  const end = reports.findLast((report) => report.is === 'function');
  expect(end).toMatchObject({ to: 'quarantined' });
  expect(JSON.stringify(lastSnapshot(reports))).toMatch(/after its reset BAR \d is 0x[0-9a-f]+, not/);
});

test('a guest gets its own bits back after the reset that it asked for', async () => {
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  assigned.filter.write(command, 2, 0x7);
  askForReset(assigned);
  assigned.filter.read(0, 4);
  expect(assigned.filter.value).toBe(0xffff_ffff);
  (await nextReset())();
  await expect.poll(() => assigned.filter.record.resetting).toBe(false);
  assigned.filter.read(command, 2);
  expect(assigned.filter.value & 0x7).toBe(0x7);
  assigned.letGo();
});

test('a function that was being taken away when its worker died is on nobody’s bus, and its reset is done again', async () => {
  const reports: FromWorker[] = [];
  const first = assign(hidden, reports);
  await first.bind();
  first.connect();
  expect(first.isExported).toBe(true);
  // Its worker dies before it is done.
  first.release().catch(() => undefined);
  await nextReset();
  const snapshot = lastSnapshot(reports);
  first.letGo();

  const second = assign(snapshot, reports);
  await second.bind();
  expect(second.isExported).toBe(false);
  const released = second.release();
  (await nextReset())();
  await released;
  expect(reports.findLast((report) => report.is === 'function')).toMatchObject({ to: 'hidden' });
});

test('a reset that only the record knows of is seen through by the next worker', async () => {
  const reports: FromWorker[] = [];
  const first = assign(hidden, reports);
  await first.bind();
  first.connect();
  const snapshot = lastSnapshot(reports);
  first.filter.record.resetting = true;
  first.letGo();

  const second = assign(snapshot, reports);
  await second.bind();
  (await nextReset())();
  await expect.poll(() => second.filter.record.resetting).toBe(false);
  second.letGo();
});

test('a function is taken away with regard for the others of the guest, and is none of those from then on', async () => {
  const other = { sbdf: makeSbdf(0, 3, 0, 1), irq: 23, resources: [] };
  const revoked: unknown[][] = [];
  platform.revoke = (...told: unknown[]) => void revoked.push(told);
  const assigned = assign(hidden, [], () => [other]);
  await assigned.bind();
  expect(assigned.isExported).toBe(true);
  const released = assigned.release();
  expect(assigned.isExported).toBe(false);
  (await nextReset())();
  await released;
  expect(revoked).toEqual([[5, expect.objectContaining({ sbdf: facts.sbdf, irq: facts.irq }), [other]]]);
});

test('a function that wakes up gets back what its guest had switched on, unless it is being taken away by then', async () => {
  heldTimers();
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  const hardware = platform.openFunction(facts.sbdf);
  const isMaster = () => (hardware.read(command, 2) & master) !== 0;
  assigned.filter.write(command, 2, 0x7);
  hardware.write(command, 2, 0);
  assigned.filter.effects.contextLost();
  vi.advanceTimersByTime(10);
  expect(isMaster()).toBe(true);

  assigned.filter.effects.contextLost();
  const released = assigned.release();
  const end = await nextReset();
  vi.advanceTimersByTime(10);
  expect(isMaster()).toBe(false);
  end();
  await released;
});

test('a function whose interrupts cannot be brought back when it wakes up is reset, and costs no other guest its worker', async () => {
  heldTimers();
  const open = platform.openFunction.bind(platform);
  let fails = true;
  platform.openFunction = (sbdf) => {
    const hardware = open(sbdf);
    hardware.restoreVectors = () => {
      if (fails) throw new Error('Xen cannot restore them');
    };
    return hardware;
  };
  const assigned = assign(hidden);
  await assigned.bind();
  assigned.connect();
  assigned.filter.record.addVector(0, 17);
  assigned.filter.effects.contextLost();
  expect(() => vi.advanceTimersByTime(10)).not.toThrow();
  expect(assigned.filter.record.resetting).toBe(true);
  fails = false;
  (await nextReset())();
  await expect.poll(() => assigned.filter.record.resetting).toBe(false);
  assigned.letGo();
});

const refusal = (what: string) => new PcibackError('HYPERCALL-FAILED', what, `destroy the guest (${what})`);

/** Takes a function away while the hypervisor refuses some of that: what was done all the same, and what came of it. */
async function takenAwayWith(refused: { readonly revoke?: true; readonly deassign?: true }) {
  const asked: string[] = [];
  const call = (name: 'revoke' | 'deassign') => () => {
    asked.push(name);
    if (refused[name]) throw refusal(name);
  };
  platform.revoke = call('revoke');
  platform.deassign = call('deassign');
  const reports: FromWorker[] = [];
  const assigned = assign(hidden, reports);
  await assigned.bind();
  const released = assigned.release();
  const end = await nextReset();
  asked.push('reset');
  end();
  await released;
  const { to, snapshot } = reports.findLast((report) => report.is === 'function') ?? expect.unreachable();
  return { asked, to, context: (snapshot as unknown as { context: FunctionContext }).context };
}

test('a function that the hypervisor does not take from its guest is quarantined, with why and what to do', async () => {
  const { asked, to, context } = await takenAwayWith({ deassign: true });
  expect(asked).toEqual(['revoke', 'reset', 'deassign']);
  expect(to).toBe('quarantined');
  expect(context).toMatchObject({
    owner: null,
    heldBy: 5,
    failure: { reason: 'HYPERCALL-FAILED', message: 'deassign', remedy: 'destroy the guest (deassign)' },
  });
});

test('a function whose registers its guest keeps is reset and taken from it all the same, and quarantined', async () => {
  const { asked, to, context } = await takenAwayWith({ revoke: true });
  expect(asked).toEqual(['revoke', 'reset', 'deassign']);
  expect(to).toBe('quarantined');
  expect(context).toMatchObject({ heldBy: 5, failure: { reason: 'HYPERCALL-FAILED', message: 'revoke' } });
});

test('all that kept a function from being taken back is told', async () => {
  const { context } = await takenAwayWith({ revoke: true, deassign: true });
  expect(context.failure).toMatchObject({
    message: 'revoke; deassign',
    remedy: 'destroy the guest (revoke)',
  });
});

test('a function that is given in part only, and not taken back, is quarantined and refused', async () => {
  platform.assign = () => {
    throw new PcibackError('QUARANTINED', 'Xen gave half of it', 'destroy the guest');
  };
  const reports: FromWorker[] = [];
  const assigned = assign(hidden, reports);
  await expect(assigned.bind()).rejects.toMatchObject({ reason: 'QUARANTINED', remedy: 'destroy the guest' });
  expect(reports.findLast((report) => report.is === 'function')).toMatchObject({
    to: 'quarantined',
    snapshot: { context: { owner: null, heldBy: 5 } },
  });
});

test('a function that does not answer is given to no guest, and stays with one that has it', async () => {
  const reports: FromWorker[] = [];
  const bound = assign(hidden, reports);
  await bound.bind();
  const adopted = assign(lastSnapshot(reports));
  const fresh = assign(hidden);
  const model = openModel(directory, facts.sbdf);
  model.faults = ModelFault.absent;
  // One function that was pulled does not cost its guest the others when another worker goes on.
  await adopted.bind();
  expect(adopted.isExported).toBe(true);
  expect(adopted.filter.hardware.read(0x04, 2)).toBe(0xffff);
  await expect(fresh.bind()).rejects.toMatchObject({ reason: 'NOT-ANSWERING' });
  model.close();
});
