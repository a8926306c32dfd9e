import { describe, expect, it } from 'vitest';
import { ConfigFilter } from '../../src/config-space/index.ts';
import { type ExportedFunction, RingOperations } from '../../src/ring/index.ts';
import { Command, OpWord } from '../../src/ring/layout.ts';
import { bytesPerTurn } from '../config-space/support.ts';
import { type Guest, guestWith } from './support.ts';

interface Request {
  readonly cmd: number;
  readonly domain?: number;
  readonly bus?: number;
  readonly devfn?: number;
  readonly offset?: number;
  readonly size?: number;
  readonly value?: number;
}

function ask({ op, operations }: Guest, request: Request): { readonly err: number; readonly value: number } {
  op.fill(0x5a5a_5a5a);
  op[OpWord.cmd] = request.cmd;
  op[OpWord.domain] = request.domain ?? 0;
  op[OpWord.bus] = request.bus ?? 0;
  op[OpWord.devfn] = request.devfn ?? 0;
  op[OpWord.offset] = request.offset ?? 0;
  op[OpWord.size] = request.size ?? 4;
  op[OpWord.value] = request.value ?? 0;
  operations.handle(op);
  return { err: operations.err, value: operations.value };
}

describe('a request', () => {
  it('for a function that is not there is answered before its command is looked at', () => {
    for (const cmd of [0, 1, 2, 3, 4, 5, 6, 10, 99, -1]) {
      expect(ask(guestWith(), { cmd, devfn: 1, value: 0x1234_5678 })).toEqual({
        err: -1,
        value: 0x1234_5678,
      });
    }
  });

  it('names its function with unsigned 32-bit numbers, none of which wraps', () => {
    const guest = guestWith();
    for (const devfn of [0x100, 0x1_0000, -1, 0x8000_0000 | 0]) {
      expect(ask(guest, { cmd: 0, devfn }).err).toBe(-1);
      expect(ask(guest, { cmd: 0, bus: devfn }).err).toBe(-1);
      expect(ask(guest, { cmd: 0, domain: devfn }).err).toBe(-1);
    }
  });

  it('with a command of the other direction, or none that there is, is not implemented', () => {
    for (const cmd of [6, 7, 8, 9, 10, 11, 0x7fff_ffff, -1]) {
      expect(ask(guestWith(), { cmd, value: 77 })).toEqual({ err: -4, value: 77 });
    }
  });

  it('to read gives the value, and none when its shape is wrong', () => {
    const guest = guestWith();
    expect(ask(guest, { cmd: Command.confRead })).toEqual({ err: 0, value: 0x10d3_8086 });
    expect(ask(guest, { cmd: Command.confRead, offset: -4, value: 5 })).toEqual({ err: -2, value: 0 });
    expect(ask(guest, { cmd: Command.confRead, offset: 0x10, size: 3 })).toEqual({ err: -2, value: 0 });
  });

  it('to write leaves the value as it was sent', () => {
    const guest = guestWith();
    const value = 0xffff_ffff;
    expect(ask(guest, { cmd: Command.confWrite, offset: 0x10, value })).toEqual({ err: 0, value });
    expect(ask(guest, { cmd: Command.confWrite, offset: 0xd2, size: 2, value })).toEqual({ err: -3, value });
    expect(ask(guest, { cmd: Command.confWrite, offset: 0x11, value })).toEqual({ err: -2, value });
  });

  it('that is denied a register says which, for as long as it is the last one', () => {
    const guest = guestWith();
    ask(guest, { cmd: Command.confWrite, offset: 0x42, size: 2, value: 1 });
    expect(guest.operations.denied).toBe(0x40);
    expect(guest.operations.target).toBe(guest.fn);
    ask(guest, { cmd: Command.confRead });
    expect(guest.operations.denied).toBe(-1);
    ask(guest, { cmd: Command.confWrite, devfn: 3 });
    expect(guest.operations.denied).toBe(-1);
    expect(guest.operations.target).toBeUndefined();
  });

  it('allocates nothing', () => {
    const { filter, hardware, op, pirqs } = guestWith();
    // Straight on the memory: the log of writes would allocate.
    const bare = new ConfigFilter(filter.table, hardware, filter.record, filter.effects);
    const fn: ExportedFunction = { filter: bare, pirqs, decoder: hardware };
    const operations = new RingOperations((_domain, _bus, devfn) => (devfn === 0 ? fn : undefined));
    const run = (turns: number): void => {
      for (let turn = 0; turn < turns; turn++) {
        op[OpWord.cmd] = turn & 1;
        op[OpWord.domain] = 0;
        op[OpWord.bus] = 0;
        op[OpWord.devfn] = (turn & 15) === 0 ? 9 : 0;
        op[OpWord.offset] = (turn << 2) & 0xfc;
        op[OpWord.size] = 4;
        op[OpWord.value] = Math.imul(turn, 0x9e37_79b1);
        operations.handle(op);
      }
    };
    expect(bytesPerTurn(run)).toBeLessThan(1);
  });
});
