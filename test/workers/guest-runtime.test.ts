import { MessageChannel, threadId } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { prepareLoopback } from '../../src/backend/directories.ts';
import { PcibackError, type Reason } from '../../src/errors.ts';
import {
  FrontRing,
  type HostFunction,
  LoopbackPlatform,
  type Ring,
  sampleFunction,
} from '../../src/host/index.ts';
import { Command as CommandBit, Header } from '../../src/config-space/bits.ts';
import { compileFilter, defaultMode } from '../../src/config-space/index.ts';
import { Command, OpWord } from '../../src/ring/index.ts';
import { GuestRuntime } from '../../workers/guest-runtime.ts';
import type { FromWorker, Resume, Step } from '../../workers/messages.ts';
import { assignmentOf } from '../backend/assignment.ts';
import { LoopbackDirectory, opWords, settle } from '../host/loopback-setting.ts';

const domid = 5;
const first = makeSbdf(0, 3, 0, 0);
const second = makeSbdf(0, 4, 0, 0);
const ids = 0x10d3_8086;

/** Refuses rings for a while. */
class ReluctantPlatform extends LoopbackPlatform {
  readonly refusals: Reason[] = [];
  attempts = 0;
  /** What each question for the domain is answered with, from now on. */
  readonly domains: string[] = [];
  opened = 0;

  override openFunction(...args: Parameters<LoopbackPlatform['openFunction']>): HostFunction {
    this.opened++;
    return super.openFunction(...args);
  }

  override domainIdentity(...args: Parameters<LoopbackPlatform['domainIdentity']>): string | null {
    return this.domains.shift() ?? super.domainIdentity(...args);
  }

  override openRing(...args: Parameters<LoopbackPlatform['openRing']>): Ring {
    this.attempts++;
    const reason = this.refusals.shift();
    if (reason) throw new PcibackError(reason, 'it is not to be had', 'wait');
    return super.openRing(...args);
  }
}

function begin() {
  const directory = new LoopbackDirectory();
  prepareLoopback(directory.path);
  const platform = new ReluctantPlatform(directory.path);
  const front = new FrontRing(directory.path, domid);
  const ring = { grantRef: front.ref, port: front.port };
  const assignments = [first, second].map((sbdf) =>
    assignmentOf(directory.path, sampleFunction(sbdf), domid),
  );
  onTestFinished(() => {
    front.close();
    platform.close();
  });
  return { directory, platform, front, ring, assignments, resume: { assignments, ring } };
}

/** Starts a runtime, which ends with the test. */
function start(platform: LoopbackPlatform, resume?: Resume) {
  const { port1: control, port2 } = new MessageChannel();
  const told: FromWorker[] = [];
  const waiting: { readonly isIt: (each: FromWorker) => boolean; readonly resolve: () => void }[] = [];
  control.on('message', (message: FromWorker) => {
    told.push(message);
    for (const { isIt, resolve } of waiting) if (isIt(message)) resolve();
  });
  const until = async (isIt: (each: FromWorker) => boolean): Promise<void> => {
    if (!told.some(isIt)) await new Promise<void>((resolve) => waiting.push({ isIt, resolve }));
  };
  let lastId = 0;
  const step = async (what: Step): Promise<void> => {
    const id = ++lastId;
    control.postMessage({ ...what, id });
    await until((each) => (each.is === 'done' || each.is === 'refused') && each.id === id);
  };
  const ended = new Promise<void>((resolve, reject) => {
    new GuestRuntime(platform, domid, port2, { resolve, reject }).start(resume);
  });
  onTestFinished(async () => {
    control.postMessage({ do: 'end', id: 0 });
    await ended;
    control.close();
  });
  const resumed = async () => {
    await until(({ is }) => is === 'resumed');
    return told.find(({ is }) => is === 'resumed');
  };
  return { told, until, step, resumed };
}

/** Asks for something of the function on this bus: its ids, unless told otherwise. */
function ask(
  front: FrontRing,
  bus: number,
  { cmd = Command.confRead, offset = 0, value = 0 }: { cmd?: number; offset?: number; value?: number } = {},
): Promise<Int32Array> {
  const op = new Int32Array(opWords);
  op[OpWord.cmd] = cmd;
  op[OpWord.bus] = bus;
  op[OpWord.offset] = offset;
  op[OpWord.size] = 4;
  op[OpWord.value] = value;
  const answered = new Promise<Int32Array>((resolve) => {
    front.onEvent(() => {
      if (!front.poll(op)) return;
      front.onEvent(null);
      resolve(op);
    });
  });
  front.submit(op);
  return answered;
}

const answerOf = (op: Int32Array) => ({ err: op[OpWord.err], value: op[OpWord.value] });
const kinds = (told: readonly FromWorker[]): readonly string[] => told.map(({ is }) => is);

test('a guest is served again: its functions, its ring, and the request that it has made meanwhile', async () => {
  const { platform, front, ring, resume } = begin();
  const pending = ask(front, 3);
  const { told, resumed } = start(platform, resume);
  expect(answerOf(await pending)).toEqual({ err: 0, value: ids });
  expect(await resumed()).toEqual({ is: 'resumed', functions: [first, second], hasRing: true });
  expect(answerOf(await ask(front, 4))).toEqual({ err: 0, value: ids });
  expect(told[0]).toEqual({ is: 'started', threadId });
  expect(told).toContainEqual(expect.objectContaining({ is: 'bound', ring }));
});

test.each([
  ['before the page is mapped', ['served', 'another'], 0],
  ['while the page is mapped', ['served', 'served', 'another'], 1],
])('a domain that comes in the place of the served one is not answered: %s', async (_, domains, attempts) => {
  const { directory, platform, front, ring } = begin();
  platform.domains.push(...domains);
  front.submit(new Int32Array(opWords));
  const before = new Int32Array(front.page).slice();
  const { told, step } = start(platform);
  await step({ do: 'connect', ring, adopted: false });
  expect(told.at(-1)).toMatchObject({ is: 'refused', reason: 'NO-SUCH-DOMAIN' });
  expect([platform.attempts, kinds(told)]).toEqual([attempts, ['started', 'refused']]);
  expect(new Int32Array(front.page)).toEqual(before);
  expect(directory.list('evt/0')).toEqual([]);
});

test('nothing is gone on with for a domain that has another in its place', async () => {
  const { directory, platform, resume } = begin();
  platform.domains.push('served', 'another');
  const { told, resumed } = start(platform, resume);
  expect(await resumed()).toEqual({ is: 'resumed', functions: [], hasRing: false });
  expect([kinds(told), platform.opened]).toEqual([['started', 'resumed'], 0]);
  expect(directory.list('evt/0')).toEqual([]);
});

test('what is served again is told before what has come of it', async () => {
  const { platform, resume } = begin();
  const { told, until } = start(platform, resume);
  await until((each) => each.is === 'function' && each.sbdf === second);
  expect(kinds(told)).toEqual(['started', 'bound', 'resumed', 'function', 'function']);
  expect(told.slice(3)).toMatchObject([
    { sbdf: first, from: 'bound', to: 'connected' },
    { sbdf: second, from: 'bound', to: 'connected' },
  ]);
});

test('without one of its functions a guest gets no answer yet, and the others are told', async () => {
  const { directory, platform, front, resume } = begin();
  const [had = expect.unreachable(), lost = expect.unreachable()] = resume.assignments;
  const missing = { ...lost, sbdf: makeSbdf(0, 9, 0, 0) };
  const op = new Int32Array(opWords);
  op[OpWord.bus] = 3;
  op[OpWord.size] = 4;
  front.submit(op);
  const { resumed } = start(platform, { ...resume, assignments: [missing, had] });
  expect(await resumed()).toEqual({ is: 'resumed', functions: [first], hasRing: false });
  await settle();
  expect(platform.attempts).toBe(0);
  expect(front.poll(op)).toBe(false);
  expect(directory.list('evt/0')).toEqual([]);
});

test('an event channel that a dead thread still has is had when it is free', async () => {
  const { platform, front, resume } = begin();
  platform.refusals.push('EVENT-CHANNEL-FAILED', 'EVENT-CHANNEL-FAILED');
  const pending = ask(front, 3);
  const { resumed } = start(platform, resume);
  expect(await resumed()).toMatchObject({ functions: [first, second], hasRing: true });
  expect(platform.attempts).toBe(3);
  expect(answerOf(await pending)).toEqual({ err: 0, value: ids });
});

test('a page that is not granted is not asked for again', async () => {
  const { platform, resume } = begin();
  platform.refusals.push('GRANT-FAILED');
  const { resumed, step, told } = start(platform, resume);
  expect(await resumed()).toMatchObject({ functions: [first, second], hasRing: false });
  await step({ do: 'disconnect' });
  expect(platform.attempts).toBe(1);
  expect(kinds(told)).not.toContain('bound');
});

test('a ring that is adopted is tried again too, a new one is not', async () => {
  const { platform, ring, resume } = begin();
  const { told, step } = start(platform);
  for (const assignment of resume.assignments) await step({ do: 'bind', assignment });
  platform.refusals.push('EVENT-CHANNEL-FAILED');
  await step({ do: 'connect', ring, adopted: false });
  expect(told.at(-1)).toMatchObject({ is: 'refused', reason: 'EVENT-CHANNEL-FAILED' });
  platform.refusals.push('EVENT-CHANNEL-FAILED');
  await step({ do: 'connect', ring, adopted: true });
  expect(platform.attempts).toBe(3);
  expect(kinds(told)).not.toContain('abandoned');
});

test.each([false, true])(
  'that a ring is served is told before what has come of it, adopted: %s',
  async (adopted) => {
    const { platform, front, ring, resume } = begin();
    const { told, step, until } = start(platform);
    for (const assignment of resume.assignments) await step({ do: 'bind', assignment });
    const before = told.length;
    await step({ do: 'connect', ring, adopted });
    expect(answerOf(await ask(front, 4))).toEqual({ err: 0, value: ids });
    expect(kinds(told.slice(before))).toEqual(['bound', 'done']);
    await step({ do: 'settle' });
    await until((each) => each.is === 'function' && each.sbdf === second);
    expect(kinds(told.slice(before))).toEqual(['bound', 'done', 'function', 'function', 'done']);
  },
);

test('a guest finds on its bus what it has at the moment', async () => {
  const { platform, front, ring, resume } = begin();
  const [had = expect.unreachable(), more = expect.unreachable()] = resume.assignments;
  const { step } = start(platform);
  await step({ do: 'bind', assignment: had });
  await step({ do: 'connect', ring, adopted: false });
  const found = async () => [answerOf(await ask(front, 3)).err, answerOf(await ask(front, 4)).err];
  expect(await found()).toEqual([0, -1]);
  await step({ do: 'bind', assignment: more });
  expect(await found()).toEqual([0, 0]);
  await step({ do: 'release', sbdfs: [first] });
  expect(await found()).toEqual([-1, 0]);
});

test('a guest that is trusted further reads the hardware where it may write that', async () => {
  const { platform, front, ring, resume } = begin();
  const [assignment = expect.unreachable()] = resume.assignments;
  const permissive = { ...defaultMode, permissive: true };
  const [before, after] = [defaultMode, permissive].map((mode) => compileFilter(assignment.seized, mode));
  // A register that only who may write it can have changed since it was seized.
  const at = before?.live.findIndex((live, index) => live === 0 && after?.live[index] === 0xffff_ffff) ?? -1;
  const offset = 4 * at;
  const { step } = start(platform);
  await step({ do: 'bind', assignment });
  await step({ do: 'connect', ring, adopted: false });
  const hardware = platform.openFunction(first);
  onTestFinished(() => hardware.close());
  const seized = hardware.read(offset, 4);
  hardware.write(offset, 4, seized ^ 0x5a5a_5a5a);
  const now = hardware.read(offset, 4);
  expect(now).not.toBe(seized);
  expect(answerOf(await ask(front, 3, { offset })).value).toBe(seized | 0);
  await step({ do: 'trust', sbdf: first, mode: permissive });
  expect(answerOf(await ask(front, 3, { offset })).value).toBe(now | 0);
});

test('a page that is taken away before the guest has been told of it connects no function', async () => {
  const { directory, platform, front, ring, resume } = begin();
  const { told, step, until } = start(platform);
  for (const assignment of resume.assignments) await step({ do: 'bind', assignment });
  await step({ do: 'connect', ring, adopted: false });
  directory.truncatePage(domid, front.ref);
  front.notify();
  await until(({ is }) => is === 'ringLost');
  const before = told.length;
  await step({ do: 'settle' });
  expect(kinds(told.slice(before))).toEqual(['done']);
});

test('a front-end that is gone on with is notified once, although nothing is in its page', async () => {
  const { platform, front, resume } = begin();
  const { resumed } = start(platform, resume);
  expect(await resumed()).toMatchObject({ hasRing: true });
  // The one before may have answered it, and died before its notification.
  expect([front.waitEvent(0), front.waitEvent(0)]).toEqual([true, false]);
});

test('a front-end that is new is not notified of anything', async () => {
  const { platform, front, ring, resume } = begin();
  const { step } = start(platform);
  for (const assignment of resume.assignments) await step({ do: 'bind', assignment });
  await step({ do: 'connect', ring, adopted: false });
  expect(front.waitEvent(0)).toBe(false);
});

test('writes that are denied are told ever less often', async () => {
  const { platform, front, resume } = begin();
  const { resumed, told, until } = start(platform, resume);
  await resumed();
  const denials = () => told.flatMap((each) => (each.is === 'denied' ? [each] : []));
  for (let count = 0; count < 1100; count++) await ask(front, 3, { cmd: Command.confWrite, value: 0x55 });
  expect(answerOf(await ask(front, 3))).toEqual({ err: 0, value: ids });
  await until((each) => each.is === 'denied' && each.times === 1000);
  expect(denials().map(({ sbdf, register, times }) => [sbdf, register, times])).toEqual(
    [1, 10, 100, 1000].map((times) => [first, 0, times]),
  );
  // Of another register, and of another function, each begins anew.
  await ask(front, 3, { cmd: Command.confWrite, offset: 8, value: 0x55 });
  await ask(front, 4, { cmd: Command.confWrite, value: 0x55 });
  await until((each) => each.is === 'denied' && each.sbdf === second);
  expect(denials().slice(4)).toMatchObject([
    { sbdf: first, register: 8, times: 1 },
    { sbdf: second, register: 0, times: 1 },
  ]);
});

test('all functions of a guest are quiesced at once', async () => {
  const { platform, resume } = begin();
  const { resumed, step } = start(platform, resume);
  await resumed();
  const functions = [first, second].map((sbdf) => platform.openFunction(sbdf));
  onTestFinished(() => functions.forEach((each) => each.close()));
  for (const each of functions) each.write(Header.command, 2, CommandBit.memory | CommandBit.master);
  await step({ do: 'quiesce' });
  expect(functions.map((each) => each.read(Header.command, 2) & CommandBit.master)).toEqual([0, 0]);
});

test('another ring takes the place of the one that was resumed', async () => {
  const { directory, platform, front, resume } = begin();
  const other = new FrontRing(directory.path, domid);
  onTestFinished(() => other.close());
  const { resumed, step } = start(platform, resume);
  expect(await resumed()).toMatchObject({ hasRing: true });
  await step({ do: 'connect', ring: { grantRef: other.ref, port: other.port }, adopted: true });
  expect(answerOf(await ask(other, 3))).toEqual({ err: 0, value: ids });
  const unheard = new Int32Array(opWords);
  front.submit(unheard);
  expect(answerOf(await ask(other, 4))).toEqual({ err: 0, value: ids });
  expect(front.poll(unheard)).toBe(false);
  expect(directory.list('evt/0').filter((name) => /^\d+$/.test(name))).toHaveLength(1);
});

test('a function that was resumed is not bound a second time', async () => {
  const { platform, front, resume } = begin();
  const { resumed, step, told } = start(platform, resume);
  await resumed();
  const { opened } = platform;
  for (const assignment of resume.assignments) await step({ do: 'bind', assignment });
  expect(platform.opened).toBe(opened);
  expect(answerOf(await ask(front, 3))).toEqual({ err: 0, value: ids });
  await step({ do: 'release', sbdfs: [first] });
  expect(
    told.filter((each) => each.is === 'function' && each.sbdf === first && each.to === 'hidden'),
  ).toHaveLength(1);
  expect(answerOf(await ask(front, 3))).toMatchObject({ err: -1 });
  expect(answerOf(await ask(front, 4))).toEqual({ err: 0, value: ids });
});
