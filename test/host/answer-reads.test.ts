import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { mapFile, unmapFile } from '../../src/host/files.ts';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import { nativeAddon, type NativeReadable } from '../../src/host/native.ts';
import type { ReadableFunction } from '../../src/host/platform.ts';
import { Command, OpWord } from '../../src/ring/layout.ts';
import { image, nic, nicResources, setUp as putFilter } from '../config-space/support.ts';
import { patience } from '../bounds.ts';
import { addonPath, domid, LoopbackDirectory, noiseOp, setUp, settle, until } from './loopback-setting.ts';

const [address, neighbour] = [makeSbdf(0x8001, 0x02, 0x03, 4), makeSbdf(0x8001, 0x02, 0x03, 5)];
/** A network adapter that can be reset, and is no bus master. */
const rows = { ...nic, 0x04: '0200', 0xe4: '00000010' };
const ids = '0 0x10d38086';
/** The command register is the hardware's in part, status as a whole, and the IDs not at all. */
const [command, status, bar, deviceControl] = [0x04, 0x06, 0x10, 0xe8];
const commands = [...Object.values(Command), 11, 0x100, -1];

type Fields = Partial<Record<keyof typeof OpWord, number>>;

/** A read of the adapter's IDs, unless told otherwise. */
function request(fields: Fields = {}): Int32Array {
  const op = noiseOp();
  op.set([Command.confRead, 0x55, 0x8001, 0x02, 0x1c, 0, 4, 7]);
  for (const [name, word] of Object.entries(fields)) op[OpWord[name as keyof Fields]] = word;
  return op;
}

/** The adapter with its registers in a file or elsewhere. What its filter writes does not get into the file. */
function putAdapter(directory: LoopbackDirectory) {
  const path = directory.in('config');
  writeFileSync(path, image(rows));
  const { ConfigFile } = nativeAddon();
  const file = new ConfigFile(path);
  const { close: unplug } = file;
  onTestFinished(unplug);
  const { filter } = putFilter({ rows, resources: nicResources });
  const withFile: ReadableFunction = { address, table: filter.readTable, hardware: { file } };
  return { filter, withFile, withoutFile: { ...withFile, hardware: {} }, unplug };
}

function connect(wake?: () => void) {
  const setting = setUp(wake);
  const { directory, front, ring } = setting;
  /** The `err` and `value` that a request is answered with, or else what a look at it finds. */
  const ask = (fields?: Fields): string => {
    const op = request(fields);
    front.submit(op);
    const found = ring.look(1);
    if (found !== 'busy' || !front.poll(op)) return found;
    return `${op[OpWord.err]} 0x${((op[OpWord.value] ?? 0) >>> 0).toString(16)}`;
  };
  return { ...setting, ...putAdapter(directory), ask };
}

describe('a request for nobody', () => {
  test.each<[string, Fields]>([
    ['in another segment', { domain: 0x0001 }],
    ['on another bus', { bus: 0x03 }],
    ['of another function', { devfn: 0x1d }],
    ['beyond the last segment', { domain: 0x1_8001 }],
    ['beyond the last bus', { bus: 0x102 }],
    ['beyond the last function', { devfn: 0x21c }],
    ['with the segment in the bus', { domain: 0, bus: 0x80_0102 }],
    ['with the bus in the function', { bus: 0, devfn: 0x21c }],
    ['before the first segment', { domain: 0x8001 - 0x1_0000 }],
  ])('is refused with its value, whatever it asks for: %s', (_, where) => {
    const { ring, filter, withFile, ask } = connect();
    ring.answerReads([withFile]);
    for (const cmd of commands) expect(ask({ ...where, cmd, value: -2 })).toBe('-1 0xfffffffe');
    expect([ring.answered, filter.record.reads]).toEqual([commands.length, 0]);
  });

  test('is any at all on an empty bus', () => {
    const { ring, ask } = connect();
    ring.answerReads([]);
    for (const cmd of commands) expect(ask({ cmd })).toBe('-1 0x7');
  });
});

describe('a request that is left to JavaScript', () => {
  test.each(commands.filter((cmd) => cmd !== Command.confRead))('is the command %i', (cmd) => {
    const { ring, front, withFile, ask } = connect();
    ring.answerReads([withFile]);
    expect(ask({ cmd })).toBe('request');
    expect(ring.op).toEqual(request({ cmd }));
    expect([front.poll(request()), front.waitEvent(0), ring.answered]).toEqual([false, false, 0]);
  });

  test('is any at all while the ring knows of no bus', () => {
    const { ring, ask } = connect();
    for (const domain of [0x8001, -1])
      expect(commands.map((cmd) => ask({ cmd, domain }))).toEqual(commands.map(() => 'request'));
    expect(ring.answered).toBe(0);
  });
});

describe('a read', () => {
  test('is answered in err and value, with one event and no other change', () => {
    const { ring, front, page, withFile } = connect();
    ring.answerReads([withFile]);
    page.fill(-1);
    front.submit(request());
    const expected = page.slice();
    expected.set([~1, Command.confRead, 0]);
    expected[1 + OpWord.value] = 0x10d3_8086;
    expect([ring.look(1), ring.answered, ring.abandoned]).toEqual(['busy', 1, 0]);
    expect(page).toEqual(expected);
    expect([front.waitEvent(patience), front.waitEvent(0)]).toEqual([true, false]);
  });

  // The counter of reads lies in the request, and counts between the decision and the answer: 1 as a number of 64 bits.
  test.each<[string, number, string, Fields]>([
    ['offset and size', OpWord.offset, '-2 0x0', { offset: 0, size: 0x3ff0_0000 }],
    ['bus and function', OpWord.bus, '-1 0x7', { bus: 0, devfn: 0x3ff0_0000 }],
    ['segment and error', OpWord.err, '-1 0x7', { domain: 0x3ff0_0000 }],
  ])('is not answered when its %s change while it is decided on (XSA-155)', (_, word, answer, changed) => {
    const { ring, front, withoutFile } = connect();
    const reads = new Float64Array(front.page, 4 + 4 * word, 1);
    ring.answerReads([{ ...withoutFile, table: { ...withoutFile.table, reads } }]);
    // What is in the page by then is a request of its own, and answered for what it is.
    const op = request();
    front.submit(op);
    expect([ring.look(1, 1, 8), ring.abandoned, ring.answered]).toEqual(['idle', 1, 1]);
    expect(front.poll(op)).toBe(true);
    expect(`${op[OpWord.err]} 0x${(op[OpWord.value] ?? 0).toString(16)}`).toBe(answer);
    for (const [name, now] of Object.entries(changed)) expect(op[OpWord[name as keyof Fields]]).toBe(now);
  });

  test('counts when it succeeds, and not when there is no such register', () => {
    const { ring, filter, withFile, ask } = connect();
    ring.answerReads([withFile]);
    expect([ask(), ask({ offset: status, size: 2 })]).toEqual([ids, '0 0x10']);
    expect([{ offset: 2 }, { size: 3 }, { offset: 0x1000 }].map(ask)).toEqual(['-2 0x0', '-2 0x0', '-2 0x0']);
    expect(filter.record.reads).toBe(2);
  });

  test('sees what the guest has written', () => {
    const { ring, filter, withFile, ask } = connect();
    ring.answerReads([withFile]);
    const write = (offset: number, size: number, value: number): string => {
      filter.write(offset, size, value);
      return ask({ offset, size });
    };
    expect([write(command, 2, 0x0542), write(command, 2, 0)]).toEqual(['0 0x542', '0 0x0']);
    expect([write(bar, 4, -1), write(bar, 4, 0xfeb8_0000)]).toEqual(['0 0xfffe0000', '0 0xfeb80000']);
  });

  test('gives ones for the hardware when that is gone', () => {
    const { ring, withFile, unplug, ask } = connect();
    ring.answerReads([withFile]);
    unplug();
    expect([ask({ offset: status, size: 2 }), ask()]).toEqual(['0 0xffff', ids]);
  });

  test('gives ones during a reset, of which the hardware is not asked', () => {
    const { ring, filter, withFile, withoutFile, ask } = connect();
    const reads = (): readonly string[] =>
      [{}, { offset: status, size: 2 }, { offset: status, size: 1 }, { offset: 0x1000 }].map(ask);
    filter.write(deviceControl, 2, 0x8000);
    for (const readable of [withFile, withoutFile]) {
      ring.answerReads([readable]);
      expect(reads()).toEqual(['0 0xffffffff', '0 0xffff', '0 0xff', '-2 0x0']);
    }
    filter.resetFinished();
    expect(reads()).toEqual([ids, 'request', 'request', '-2 0x0']);
    ring.answerReads([withFile]);
    expect(reads()).toEqual([ids, '0 0x10', '0 0x10', '-2 0x0']);
  });
});

describe('the bus', () => {
  test('is what the ring was told last', () => {
    const { ring, withFile, withoutFile, ask } = connect();
    const both = (): readonly string[] => [{ offset: command }, { devfn: 0x1d }].map(ask);
    ring.answerReads([withFile]);
    expect(both()).toEqual(['0 0x100002', '-1 0x7']);
    ring.answerReads([withoutFile, { ...withFile, address: neighbour }]);
    expect(both()).toEqual(['request', ids]);
    ring.answerReads([]);
    expect(both()).toEqual(['-1 0x7', '-1 0x7']);
  });

  test('is gone with the ring', () => {
    const { ring, filter, withFile, ask } = connect();
    ring.answerReads([withFile]);
    ring.close();
    expect([ask(), filter.record.reads]).toEqual(['vanished', 0]);
  });

  test('stays in memory for as long as it is read, and no longer', async () => {
    const { directory, ring, ask } = connect();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const small = { resetting: new Uint32Array(1), reads: new Float64Array(1) };
    const seen = (() => {
      const { withFile } = putAdapter(directory);
      const { length, live, shown } = withFile.table;
      ring.answerReads([{ ...withFile, table: { length, live, shown, ...small } }]);
      return [live, shown, withFile].map((object) => new WeakRef(object));
    })();
    const stay = async (): Promise<readonly boolean[]> => {
      await settle();
      collect();
      return seen.map((object) => object.deref() !== undefined);
    };
    expect(await stay()).toEqual([true, true, false]);
    expect([ask(), ask({ offset: status, size: 2 })]).toEqual([ids, '0 0x10']);
    // Arrays as small as these the collector may move.
    small.resetting[0] = 1;
    expect([ask(), small.reads[0]]).toEqual(['0 0xffffffff', 3]);
    ring.answerReads([]);
    expect(await stay()).toEqual([false, false, false]);
  });

  test.each<[string, (fn: NativeReadable) => unknown]>([
    ['nothing', () => undefined],
    ['no array', () => ({ length: 0 })],
    ['no function', () => [7]],
    ['null', () => [null]],
    ['a hole', () => Array(1)],
    ['an address that is no number', (fn) => [{ ...fn, address: Symbol('address') }]],
    ['a space of another size', (fn) => [{ ...fn, length: 4097 }]],
    ['a table of another type', (fn) => [{ ...fn, live: new Int32Array(fn.live) }]],
    ['a table without a type', (fn) => [{ ...fn, live: [...fn.live] }]],
    ['a table that is too short', (fn) => [{ ...fn, shown: fn.shown.subarray(1) }]],
    ['a table that is too long', (fn) => [{ ...fn, length: 256 }]],
    ['two switches', (fn) => [{ ...fn, resetting: new Uint32Array(2) }]],
    ['a counter of another type', (fn) => [{ ...fn, reads: new Float32Array(1) }]],
    ['one without a counter after a right one', (fn) => [fn, { ...fn, reads: undefined }]],
  ])('stays as it was when the ring is told something wrong: %s', (_, spoil) => {
    const { ring, withFile, ask } = connect();
    ring.answerReads([withFile]);
    const wrong = spoil({ address: neighbour, ...withFile.table, hardware: undefined });
    // It is the result of `map` that the addon is given.
    const functions = { map: () => wrong } as unknown as readonly ReadableFunction[];
    expect(() => ring.answerReads(functions)).toThrow(TypeError);
    expect([ask(), ask({ devfn: 0x1d })]).toEqual([ids, '-1 0x7']);
  });

  test('has no file where there is only something like it', () => {
    const { directory, ring, withoutFile, ask } = connect();
    const like = { length: 4096, read: () => 0, write: () => true, close: () => undefined };
    const { Hypervisor: Native } = nativeAddon();
    for (const file of [like, new Native('loopback', directory.path), null, 7]) {
      ring.answerReads([{ ...withoutFile, hardware: { file } }]);
      expect([ask({ offset: status, size: 2 }), ask()]).toEqual(['request', ids]);
    }
  });
});

describe('a look', () => {
  /** Makes requests, each when it has the answer to the one before and has rested for so many milliseconds. */
  const guest = `
    const { parentPort, workerData: [addon, directory, domid, requests, rest] } = require('node:worker_threads');
    const front = new (require(addon).FrontRing)(directory, domid, 8, 2, 0);
    parentPort.postMessage([front.ref, front.port]);
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (const op of requests) {
      if (rest > 0) Atomics.wait(clock, 0, 0, rest);
      front.exchange(op, ${patience});
    }
    parentPort.postMessage(requests.map((op) => [op[${OpWord.err}], op[${OpWord.value}]]));`;

  /** A ring whose guest reads seven times and then writes; looks may take seconds, which they do only if the guest does. */
  async function serve(rest: number) {
    const directory = new LoopbackDirectory();
    const reads = Array.from({ length: 7 }, (_, at) => request({ offset: at * 0x1000 }));
    const write = request({ cmd: Command.confWrite });
    const workerData = [addonPath, directory.path, domid, [...reads, write], rest];
    const worker = new Worker(guest, { eval: true, workerData });
    onTestFinished(async () => void (await worker.terminate()));
    const [[ref, port]] = (await once(worker, 'message')) as [[number, number]];
    const hypervisor = Hypervisor.loopback(directory.path);
    onTestFinished(() => hypervisor.close());
    const ring = hypervisor.openRing(domid, ref, port, () => undefined);
    onTestFinished(() => ring.close());
    ring.answerReads([putAdapter(directory).withFile]);
    const turns = 200_000_000;
    const look = (batch: number): string => ring.look(turns, turns, batch);
    const finish = async (): Promise<unknown> => {
      expect(ring.op).toEqual(write);
      ring.answer(-3, 9, 0);
      ring.close(); // or an event would have it look for as long again
      return (await once(worker, 'message'))[0];
    };
    const answers = [[0, 0x10d3_8086], ...reads.slice(1).map(() => [-2, 0]), [-3, 9]];
    return { ring, look, finish, answers };
  }

  test('ends with what it leaves to JavaScript', async () => {
    const { ring, look, finish, answers } = await serve(0);
    expect([look(0xffff_ffff), ring.answered]).toEqual(['request', 7]);
    expect(await finish()).toEqual(answers);
  });

  test('ends when its batch is spent, and so much the sooner when the guest lets it wait', async () => {
    const { ring, look, finish, answers } = await serve(100);
    // The guest asks eight times in all. In 100 milliseconds there are many more turns than the batch has, whoever else has a processor.
    expect(look(100)).toBe('busy');
    expect(ring.answered).toBeLessThanOrEqual(7);
    expect(ring.spent).toBeGreaterThanOrEqual(100);
    let before = ring.spent;
    while (look(100) === 'busy') before = ring.spent;
    expect(ring.answered).toBe(7);
    // It has waited for what it leaves to JavaScript as well.
    expect(ring.spent - before).toBeGreaterThanOrEqual(100);
    expect(await finish()).toEqual(answers);
  });

  test('goes on after an answer, as long as the batch lets it', () => {
    const { ring, front, withFile } = connect();
    ring.answerReads([withFile]);
    front.submit(request());
    expect([ring.look(1, 1, 2), ring.answered, front.waitEvent(patience)]).toEqual(['idle', 1, true]);
  });

  test('counts what the front-end gives up meanwhile by itself', () => {
    const { ring, front, withFile, page } = connect();
    // The ring counts the read before it answers. Counting in the page itself takes the request from it.
    const reads = new Float64Array(front.page, 0, 1);
    ring.answerReads([{ ...withFile, table: { ...withFile.table, reads } }]);
    front.submit(request());
    expect([ring.look(1), ring.answered, ring.abandoned]).toEqual(['busy', 0, 1]);
    expect([page[1 + OpWord.value], front.waitEvent(0)]).toEqual([7, false]);
  });

  test('is answered from the memory of a file that JavaScript has unmapped meanwhile', async () => {
    const { ring, directory, front, withFile, ask } = connect();
    const path = directory.in('record');
    const buffer = mapFile(path, 4096, { create: true });
    const [resetting, reads] = [new Uint32Array(buffer, 0, 1), new Float64Array(buffer, 8, 1)];
    ring.answerReads([{ ...withFile, table: { ...withFile.table, resetting, reads } }]);
    unmapFile(buffer);
    await settle();
    expect(ask()).toBe(ids);
    expect(new DataView(readFileSync(path).buffer).getFloat64(8, true)).toBe(1);
    const isMapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(path);
    expect(isMapped()).toBe(true);
    ring.answerReads([]);
    expect([isMapped(), front.poll(request())]).toEqual([false, true]);
    expect(() => ring.answerReads([{ ...withFile, table: { ...withFile.table, resetting, reads } }])).toThrow(
      TypeError,
    );
  });

  test('comes before the callback when an event wakes the ring', async () => {
    const found: string[] = [];
    const { ring, front, wakes, withFile } = connect(() => {
      found.push(`${ring.answered} ${front.poll(request())} ${ring.look(1)}`);
    });
    ring.answerReads([withFile]);
    ring.look(1);
    for (const cmd of [Command.confRead, Command.confWrite]) {
      const { count } = wakes;
      front.submit(request({ cmd }));
      await until(() => wakes.count > count);
      ring.rearm();
    }
    expect(found).toEqual(['1 true idle', '1 false request']);
  });
});
