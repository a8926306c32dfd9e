import {
  mkdirSync,
  openSync,
  readSync,
  constants,
  renameSync,
  symlinkSync,
  writeFileSync,
  closeSync,
} from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FrontRing, type FrontRingOptions } from '../../src/host/front-ring.ts';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import { Flag, opSize, OpWord } from '../../src/ring/layout.ts';
import { patience } from '../bounds.ts';
import { LoopbackDirectory, readPage } from './loopback-setting.ts';

const domid = 4;
const newOp = (): Int32Array => new Int32Array(opSize / 4);

function makeFront(directory: LoopbackDirectory, options?: FrontRingOptions): FrontRing {
  const front = new FrontRing(directory.path, domid, options);
  onTestFinished(() => front.close());
  return front;
}

/** The number of bytes that wait in a FIFO. */
function pendingIn(directory: LoopbackDirectory, name: string): number {
  const fd = openSync(directory.in(name), constants.O_RDWR | constants.O_NONBLOCK);
  try {
    return readSync(fd, new Uint8Array(65_536));
  } catch {
    return 0;
  } finally {
    closeSync(fd);
  }
}

describe('a fresh front-end', () => {
  test('makes its page and its port, and takes them away', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory, { flags: Flag.aerHandler });
    expect([front.ref, front.port]).toEqual([8, 2]);
    expect(front.page.byteLength).toBe(4096);
    expect(readPage(directory, domid, 8)[0]).toBe(Flag.aerHandler);
    expect(directory.list('gnt/4')).toEqual(['8']);
    expect(directory.list('evt/4')).toEqual(['2']);
    front.close();
    front.close();
    expect(directory.list('gnt/4')).toEqual([]);
    expect(directory.list('evt/4')).toEqual([]);
    expect(() => front.notify()).toThrow('the front-end’s ring is closed'.replace('’', "'"));
  });

  test('takes the first numbers that are free', () => {
    const directory = new LoopbackDirectory();
    directory.makeGuest(domid, 8, 2);
    const front = makeFront(directory);
    expect([front.ref, front.port]).toEqual([9, 3]);
    const another = makeFront(directory, { ref: 100, port: 50 });
    expect([another.ref, another.port]).toEqual([100, 50]);
  });

  test('its page outlives it as long as somebody looks at it', () => {
    const front = makeFront(new LoopbackDirectory());
    const page = new Int32Array(front.page);
    front.close();
    page[3] = 7;
    expect(page[3]).toBe(7);
  });
});

describe('a request', () => {
  test('is withdrawn when nobody answers', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory, { flags: Flag.aerHandler });
    const op = newOp().fill(9);
    const start = performance.now();
    expect(front.exchange(op, 50)).toBe(false);
    expect(performance.now() - start).toBeGreaterThan(49);
    expect(readPage(directory, domid, front.ref)[0]).toBe(Flag.aerHandler);
    expect(op).toEqual(newOp().fill(9));
  });

  test('must have 137 words', () => {
    const front = makeFront(new LoopbackDirectory());
    expect(() => front.exchange(new Int32Array(136))).toThrow('op must be an Int32Array of 137 words');
    expect(() => front.submit(new Uint32Array(137) as unknown as Int32Array)).toThrow(TypeError);
    expect(() => front.poll(new Float64Array(137) as unknown as Int32Array)).toThrow(TypeError);
  });

  test('giving up a request that was answered says so', () => {
    const front = makeFront(new LoopbackDirectory());
    front.submit(newOp());
    expect(front.poll(newOp())).toBe(false);
    new Int32Array(front.page)[0] = 0;
    expect(front.giveUp()).toBe(false);
    expect(front.poll(newOp())).toBe(true);
  });
});

describe('the other end', () => {
  test('is nobody before somebody has bound', () => {
    const front = makeFront(new LoopbackDirectory());
    expect(front.notify()).toBe(false);
    expect(front.submit(newOp())).toBe(false);
  });

  test('is found by what any program wrote into the peer file', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    directory.makeFifo('evt/0/40');
    writeFileSync(directory.in('evt/4/2.peer'), '0 40\n');
    expect(front.notify()).toBe(true);
    expect(front.notify()).toBe(true);
    expect(pendingIn(directory, 'evt/0/40')).toBe(2);
  });

  test.each([
    '',
    '0',
    '0 ',
    ' 0 40',
    '0  40',
    '0 040',
    '0 +40',
    '0 40 ',
    '0 40\n\n',
    '0x0 40',
    '0 ../40',
    '0 4294967296',
    '-1 40',
  ])('is nobody when the peer file says %j', (text) => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    directory.makeFifo('evt/0/40');
    writeFileSync(directory.in('evt/4/2.peer'), text);
    expect(front.notify()).toBe(false);
  });

  test('is not found through a link', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    directory.makeFifo('evt/0/40');
    writeFileSync(directory.in('peer'), '0 40');
    symlinkSync(directory.in('peer'), directory.in('evt/4/2.peer'));
    expect(front.notify()).toBe(false);
  });

  test('is opened anew when another has bound', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    for (const port of [40, 41, 42]) {
      directory.makeFifo(`evt/0/${port}`);
      writeFileSync(directory.in('evt/4/new'), `0 ${port}`);
      renameSync(directory.in('evt/4/new'), directory.in('evt/4/2.peer'));
      expect(front.notify()).toBe(true);
      expect(pendingIn(directory, `evt/0/${port}`)).toBe(1);
    }
  });

  test('may be restarted while a request waits', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    const first = Hypervisor.loopback(directory.path);
    const abandoned = first.openRing(domid, front.ref, front.port, () => undefined);
    const op = newOp();
    op[OpWord.value] = 77;
    front.submit(op);
    expect(abandoned.look(1)).toBe('request');
    // The first back-end is gone without an answer; its port is still there, as after a kill.
    const second = first.openRing(domid, front.ref, front.port, () => undefined);
    expect(second.localPort).toBe(3);
    first.discardPort(abandoned.localPort);
    expect(second.look(1)).toBe('request');
    second.answer(0, 78, 0);
    expect(front.poll(op)).toBe(true);
    expect(op[OpWord.value]).toBe(78);
    expect(front.notify()).toBe(true);
    expect(pendingIn(directory, 'evt/0/3')).toBeGreaterThan(0);
    second.close();
    abandoned.close();
  });
});

describe('events', () => {
  test('waiting ends with the time or with an event', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    expect(front.waitEvent(10)).toBe(false);
    const ring = Hypervisor.loopback(directory.path).openRing(domid, front.ref, front.port, () => undefined);
    ring.notify();
    expect(front.waitEvent(patience)).toBe(true);
    expect(front.waitEvent(0)).toBe(false);
    ring.close();
  });

  test('a callback is called until it is taken back', async () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    const ring = Hypervisor.loopback(directory.path).openRing(domid, front.ref, front.port, () => undefined);
    let calls = 0;
    for (let i = 1; i <= 3; i++) {
      const called = new Promise<void>((resolve) => {
        front.onEvent(() => {
          calls++;
          resolve();
        });
      });
      ring.notify();
      await called;
      expect(calls).toBe(i);
    }
    front.onEvent(null);
    ring.notify();
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(3);
    expect(() => front.onEvent(7 as unknown as null)).toThrow('callback must be a function');
    ring.close();
  });
});

describe('pirqs', () => {
  test('are bound once, counted, and gone with the front-end', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    front.bindPirq(0x37);
    expect(() => front.bindPirq(0x37)).toThrow('EEXIST');
    expect(directory.list('evt/4')).toEqual(['2', 'pirq55']);
    writeFileSync(directory.in('evt/4/pirq55'), '123');
    expect(front.pirqEvents(0x37, patience)).toBe(3);
    expect(front.pirqEvents(0x37)).toBe(3);
    expect(front.pirqEvents(0x37, 10)).toBe(3);
    expect(() => front.pirqEvents(0x38)).toThrow('ENOENT');
    front.close();
    expect(directory.list('evt/4')).toEqual([]);
  });

  test('what is in the way of one is an error', () => {
    const directory = new LoopbackDirectory();
    const front = makeFront(directory);
    mkdirSync(directory.in('evt/4/pirq9'));
    expect(() => front.bindPirq(9)).toThrow('EEXIST');
  });
});
