import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { PcibackError } from '../../src/errors.ts';
import { FrontRing } from '../../src/host/front-ring.ts';
import { Hypervisor } from '../../src/host/hypervisor.ts';
import { OpWord } from '../../src/ring/layout.ts';
import { patience } from '../bounds.ts';
import { domid, LoopbackDirectory, noiseOp, opWords, setUp } from './loopback-setting.ts';

const reasonOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return error instanceof PcibackError ? error.reason : `not a PcibackError: ${String(error)}`;
  }
  return 'nothing was thrown';
};

describe('opening', () => {
  test('both ends are written down, and the local port starts pending', () => {
    const { directory, ring, front } = setUp();
    expect(ring.localPort).toBe(2);
    expect(directory.read('evt/0/2.peer')).toBe(`${domid} ${front.port}`);
    expect(directory.read(`evt/${domid}/${front.port}.peer`)).toBe('0 2');
    expect(directory.list(`evt/${domid}`)).toEqual([`${front.port}`, `${front.port}.peer`]);
  });

  test('a local port that is taken is left alone', () => {
    const directory = new LoopbackDirectory();
    directory.makeFifo('evt/0/2');
    writeFileSync(directory.in('evt/0/3'), '');
    directory.makeGuest(7, 8, 9);
    const hypervisor = Hypervisor.loopback(directory.path);
    const ring = hypervisor.openRing(7, 8, 9, () => undefined);
    expect(ring.localPort).toBe(4);
    ring.close();
    expect(directory.list('evt/0')).toEqual(['2', '3']);
    // The other end stays as it was until the next bind.
    expect(directory.read('evt/7/9.peer')).toBe('0 4');
  });

  test('a number is not used again: who still knows a port that was closed takes nothing from another', () => {
    const { directory, ring, hypervisor, front } = setUp();
    const former = ring.localPort;
    ring.close();
    const other = Hypervisor.loopback(directory.path);
    const next = other.openRing(domid, front.ref, front.port, () => undefined);
    expect(next.localPort).not.toBe(former);
    hypervisor.discardPort(former);
    const name = String(next.localPort);
    expect(directory.list('evt/0')).toEqual([name, `${name}.peer`]);
    next.close();
    other.close();
  });

  test('closing twice, and using what is closed, does nothing', () => {
    const { directory, ring, hypervisor } = setUp();
    ring.close();
    ring.close();
    hypervisor.close();
    hypervisor.close();
    expect(directory.list('evt/0')).toEqual([]);
    expect(ring.look(1)).toBe('vanished');
    expect(ring.answer(0, 0, 0)).toBe('vanished');
    ring.rearm();
    ring.notify();
  });

  test('a ring outlives the connection it was opened on', () => {
    const { ring, front, hypervisor } = setUp();
    hypervisor.close();
    front.submit(noiseOp());
    expect(ring.look(1)).toBe('request');
    expect(ring.answer(0, 0, 0)).toBe('published');
    expect(() => hypervisor.mapMsi(1, makeSbdf(0, 0, 0, 0), -1, 0n)).toThrow('closed');
  });

  test('a predecessor’s port can be discarded', () => {
    const { directory, hypervisor } = setUp();
    directory.makeFifo('evt/0/17');
    writeFileSync(directory.in('evt/0/17.peer'), '5 2');
    hypervisor.discardPort(17);
    hypervisor.discardPort(18);
    expect(directory.list('evt/0')).toEqual(['2', '2.peer']);
  });

  const guest = { domid: 7, ref: 8, port: 9 };
  const cases: Record<string, { reason: string; spoil: (directory: LoopbackDirectory) => void }> = {
    'no page': { reason: 'GRANT-FAILED', spoil: (at) => rmSync(at.in('gnt/7/8')) },
    'a short page': { reason: 'GRANT-FAILED', spoil: (at) => truncateSync(at.in('gnt/7/8'), 4095) },
    'a long page': { reason: 'GRANT-FAILED', spoil: (at) => truncateSync(at.in('gnt/7/8'), 4097) },
    'a directory for a page': {
      reason: 'GRANT-FAILED',
      spoil: (at) => {
        rmSync(at.in('gnt/7/8'));
        mkdirSync(at.in('gnt/7/8'));
      },
    },
    'a FIFO for a page': {
      reason: 'GRANT-FAILED',
      spoil: (at) => {
        rmSync(at.in('gnt/7/8'));
        at.makeFifo('gnt/7/8');
      },
    },
    'a link for a page': {
      reason: 'GRANT-FAILED',
      spoil: (at) => {
        renameSync(at.in('gnt/7/8'), at.in('elsewhere'));
        symlinkSync(at.in('elsewhere'), at.in('gnt/7/8'));
      },
    },
    'a link for the directory of pages': {
      reason: 'GRANT-FAILED',
      spoil: (at) => {
        renameSync(at.in('gnt/7'), at.in('elsewhere'));
        symlinkSync(at.in('elsewhere'), at.in('gnt/7'));
      },
    },
    'no port': { reason: 'EVENT-CHANNEL-FAILED', spoil: (at) => rmSync(at.in('evt/7/9')) },
    'a file for a port': {
      reason: 'EVENT-CHANNEL-FAILED',
      spoil: (at) => {
        rmSync(at.in('evt/7/9'));
        writeFileSync(at.in('evt/7/9'), '');
      },
    },
    'a link for a port': {
      reason: 'EVENT-CHANNEL-FAILED',
      spoil: (at) => {
        renameSync(at.in('evt/7/9'), at.in('elsewhere'));
        symlinkSync(at.in('elsewhere'), at.in('evt/7/9'));
      },
    },
    'a link for the directory of ports': {
      reason: 'EVENT-CHANNEL-FAILED',
      spoil: (at) => {
        renameSync(at.in('evt/7'), at.in('elsewhere'));
        symlinkSync(at.in('elsewhere'), at.in('evt/7'));
      },
    },
    'a directory in place of the peer file': {
      reason: 'EVENT-CHANNEL-FAILED',
      spoil: (at) => mkdirSync(at.in('evt/7/9.peer')),
    },
    'no directory for our own ports': {
      reason: 'EVENT-CHANNEL-FAILED',
      spoil: (at) => rmSync(at.in('evt/0'), { recursive: true }),
    },
  };

  test.each(Object.entries(cases))('%s is refused and leaves nothing behind', (_, { reason, spoil }) => {
    const directory = new LoopbackDirectory();
    directory.makeGuest(guest.domid, guest.ref, guest.port);
    spoil(directory);
    const hypervisor = Hypervisor.loopback(directory.path);
    const open = (): unknown => hypervisor.openRing(guest.domid, guest.ref, guest.port, () => undefined);
    expect(reasonOf(open)).toBe(reason);
    if (directory.list('evt').includes('0')) expect(directory.list('evt/0')).toEqual([]);
    expect(directory.list('evt/7').filter((name) => name.endsWith('~'))).toEqual([]);
  });

  test('a link in place of the peer file is replaced, not followed', () => {
    const directory = new LoopbackDirectory();
    directory.makeGuest(7, 8, 9);
    writeFileSync(directory.in('victim'), 'untouched');
    symlinkSync(directory.in('victim'), directory.in('evt/7/9.peer'));
    Hypervisor.loopback(directory.path)
      .openRing(7, 8, 9, () => undefined)
      .close();
    expect(directory.read('victim')).toBe('untouched');
    expect(directory.read('evt/7/9.peer')).toBe('0 2');
  });

  test('links that were laid under the name of the temporary file are not followed', () => {
    const directory = new LoopbackDirectory();
    directory.makeGuest(7, 8, 9);
    writeFileSync(directory.in('victim'), 'untouched');
    for (let serial = 0; serial < 1000; serial++)
      symlinkSync(directory.in('victim'), directory.in(`evt/7/9.peer.${process.pid}.${serial}~`));
    const hypervisor = Hypervisor.loopback(directory.path);
    expect(reasonOf(() => hypervisor.openRing(7, 8, 9, () => undefined))).toBe('EVENT-CHANNEL-FAILED');
    expect(directory.read('victim')).toBe('untouched');
    expect(directory.list('evt/0')).toEqual([]);
  });

  test('a directory that does not exist', () => {
    expect(reasonOf(() => Hypervisor.loopback('/nonexistent'))).toBe('BAD-DIRECTORY');
  });

  test('numbers that are none are refused before they reach a path', () => {
    const { hypervisor } = setUp();
    const wake = (): void => undefined;
    expect(() => hypervisor.openRing(32752, 8, 2, wake)).toThrow('domid must be an integer from 0 to 32751');
    expect(() => hypervisor.openRing(1.5, 8, 2, wake)).toThrow(TypeError);
    expect(() => hypervisor.openRing(1, Number.NaN, 2, wake)).toThrow('ref must be an integer');
    expect(() => hypervisor.openRing(1, 8, -1, wake)).toThrow('port must be an integer');
    expect(() => hypervisor.openRing(1, '8' as unknown as number, 2, wake)).toThrow(TypeError);
    expect(() => hypervisor.openRing(domid, 8, 2, 3 as unknown as () => void)).toThrow(
      'wake must be a function',
    );
    expect(() => Hypervisor.loopback('a\0b')).toThrow(
      'where must be a string that is not empty and has no NUL in it',
    );
  });
});

describe('the native responder', () => {
  test('answers conf_read from its table and nothing else', () => {
    const directory = new LoopbackDirectory();
    const hypervisor = Hypervisor.loopback(directory.path);
    const front = new FrontRing(directory.path, domid);
    const config = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);
    const responder = hypervisor.startResponder(domid, front.ref, front.port, config);
    const ask = (cmd: number, offset: number, size: number): [number, number] => {
      const op = new Int32Array(opWords);
      op[OpWord.cmd] = cmd;
      op[OpWord.offset] = offset;
      op[OpWord.size] = size;
      expect(front.exchange(op, patience)).toBe(true);
      return [op[OpWord.err] ?? 1, op[OpWord.value] ?? 0];
    };
    expect(ask(0, 0x10, 4)).toEqual([0, 0x13121110]);
    expect(ask(0, 0x12, 2)).toEqual([0, 0x1312]);
    expect(ask(0, 0xffc, 4)).toEqual([0, 0xfffefdfc | 0]);
    expect(ask(0, 0xfff, 1)).toEqual([0, 0xff]);
    for (const [offset, size] of [
      [-4, 4],
      [0x1000, 4],
      [0x1000, 1],
      [2, 4],
      [0, 3],
      [0, 0],
      [0x7fffffff, 1],
    ] as const)
      expect(ask(0, offset, size)).toEqual([-2, 0]);
    expect(ask(1, 0, 4)).toEqual([-4, 0]);
    expect(responder.stop()).toBe(12);
    expect(responder.stop()).toBe(0);
    expect(directory.list('evt/0')).toEqual([]);
    expect(() => hypervisor.startResponder(domid, 8, 2, new Uint8Array(256))).toThrow('4096 bytes');
    front.close();
  });
});
