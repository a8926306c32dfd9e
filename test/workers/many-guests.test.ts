/** As many guests and functions as a large host has, in this process: what they hold of the kernel's, and what looking at them costs. */
import { readFileSync, readdirSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { type Sbdf, makeSbdf } from '../../src/address.ts';
import { prepareLoopback } from '../../src/backend/directories.ts';
import { Records } from '../../src/backend/records.ts';
import { Registry } from '../../src/backend/registry.ts';
import { type FunctionFacts, FrontRing, LoopbackPlatform, sampleFunction } from '../../src/host/index.ts';
import { Command, OpWord } from '../../src/ring/index.ts';
import { GuestRuntime } from '../../workers/guest-runtime.ts';
import type { FromWorker } from '../../workers/messages.ts';
import { assignmentOf, seizedIn, snapshotOf } from '../backend/assignment.ts';
import { longest } from '../bounds.ts';
import { LoopbackDirectory, opWords } from '../host/loopback-setting.ts';

const guests = 61;
const functionsEach = 8;
/** Those of the guests are among them. */
const functions = 1000;
const looks = 200;
const ids = 0x10d3_8086;

interface Served {
  readonly front: FrontRing;
  readonly end: () => Promise<void>;
}

/** Starts a guest's service; resolves when it serves what it was given to resume. */
async function serve(
  platform: LoopbackPlatform,
  domid: number,
  facts: readonly FunctionFacts[],
  directory: string,
): Promise<Served> {
  const front = new FrontRing(directory, domid);
  const { port1: control, port2 } = new MessageChannel();
  const assignments = facts.map((each) => assignmentOf(directory, each, domid));
  const ring = { grantRef: front.ref, port: front.port };
  const resumed = new Promise<FromWorker>((resolve) => {
    control.on('message', (message: FromWorker) => {
      if (message.is === 'resumed') resolve(message);
    });
  });
  const ended = new Promise<void>((resolve, reject) => {
    new GuestRuntime(platform, domid, port2, { resolve, reject }).start({ assignments, ring });
  });
  expect(await resumed).toMatchObject({ functions: facts.map(({ sbdf }) => sbdf), hasRing: true });
  const end = async (): Promise<void> => {
    control.postMessage({ do: 'end', id: 0 });
    await ended;
    control.close();
    front.close();
  };
  return { front, end };
}

function askIds(front: FrontRing, sbdf: Sbdf): Promise<number> {
  const op = new Int32Array(opWords);
  op.set([Command.confRead, 0, sbdf >>> 16, (sbdf >>> 8) & 0xff, sbdf & 0xff, 0, 4]);
  return new Promise((resolve) => {
    front.onEvent(() => {
      if (!front.poll(op)) return;
      front.onEvent(null);
      resolve(op[OpWord.value] ?? 0);
    });
    front.submit(op);
  });
}

test(
  '61 guests with 8 functions each are served, and 1,000 functions can be looked at as often as one likes',
  async () => {
    const directory = new LoopbackDirectory();
    prepareLoopback(directory.path);
    const platform = new LoopbackPlatform(directory.path);
    onTestFinished(() => platform.close());
    /** What this process has mapped below a part of the directory. */
    const mapped = (part: string): number =>
      readFileSync('/proc/self/maps', 'utf8').split(directory.in(part)).length - 1;
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();

    const facts = Array.from({ length: functions }, (_, index) =>
      sampleFunction(makeSbdf(0, 1 + (index >>> 8), (index >>> 3) & 31, index & 7)),
    );
    const sbdfs = facts.map(({ sbdf }) => sbdf);
    const served: Served[] = [];
    for (let guest = 0; guest < guests; guest++) {
      const own = facts.slice(guest * functionsEach, (guest + 1) * functionsEach);
      const one = await serve(platform, 1 + guest, own, directory.path);
      served.push(one);
      for (const { sbdf } of own) expect(await askIds(one.front, sbdf)).toBe(ids);
    }

    const registry = new Registry(directory.in('state/function'), () => expect.unreachable());
    const seized = seizedIn(directory.path, sampleFunction(makeSbdf(0, 0, 1, 0)));
    for (const each of facts) registry.add({ facts: each, former: null, wasDriven: false }, seized);
    const records = new Records(platform, registry);
    /** What `status` and `metrics` count of all functions. */
    const look = (): number => facts.reduce((sum, { sbdf }) => sum + (records.of(sbdf)?.reads ?? 0), 0);
    expect(look()).toBe(guests * functionsEach);
    const held = (): readonly number[] => [mapped('state/record'), mapped('state/model'), open()];
    // One mapping for each function, for its worker and for the thread that looks at it.
    await expect
      .poll(() => [mapped('state/record'), mapped('state/model')])
      .toEqual([functions, guests * functionsEach]);
    const after = held();
    for (let times = 0; times < looks; times++) look();
    expect(look()).toBe(guests * functionsEach);
    expect(held()).toEqual(after);

    // A function that changes hands is mapped anew, one that is hidden no more is not mapped.
    const [first, last] = [sbdfs[0] ?? expect.unreachable(), sbdfs.at(-1) ?? expect.unreachable()];
    registry.trust(first, true);
    registry.update(first, snapshotOf(first, 1, 'bound'));
    look();
    registry.drop(last);
    await expect.poll(() => mapped('state/record')).toBe(functions - 1);
    expect(records.of(last)).toBeUndefined();

    for (const { end } of served) await end();
    await expect.poll(() => [mapped('state/record'), mapped('state/model')]).toEqual([functions - 1, 0]);
    records.close();
    await expect.poll(held).toEqual([0, 0, before]);
  },
  longest,
);
