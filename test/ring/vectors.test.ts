import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  type ConfigAccess,
  ConfigFilter,
  InterruptKind,
  signallingOf,
} from '../../src/config-space/index.ts';
import { Command, OpWord } from '../../src/ring/layout.ts';
import { type ExportedFunction, RingOperations, revoke } from '../../src/ring/index.ts';
import { nic } from '../config-space/support.ts';
import { type Guest, guestWith } from './support.ts';

type Asker = Pick<Guest, 'op' | 'operations'>;

function ask(
  { op, operations }: Asker,
  cmd: number,
  entries: readonly number[] = [],
  count = entries.length,
): number {
  op.fill(0);
  op[OpWord.cmd] = cmd;
  op[OpWord.value] = count;
  entries.forEach((entry, i) => (op[OpWord.msixEntries + i] = (entry << 16) | 0xbeef));
  operations.handle(op);
  return operations.err;
}

const vectorsOf = ({ op, operations }: Asker): readonly number[] =>
  Array.from({ length: operations.vectors }, (_, i) => (op[OpWord.msixEntries + i] ?? 0) & 0xffff);

const { enableMsi, disableMsi, enableMsix, disableMsix } = Command;

describe('MSI', () => {
  it('is one vector, switched on in the function, with INTx off', () => {
    const guest = guestWith();
    expect(ask(guest, enableMsi)).toBe(0);
    expect(guest.operations.value).toBe(0x37);
    expect([...guest.pirqs.held]).toEqual([[0x37, { entry: -1, tableBase: 0n }]]);
    expect(guest.written()).toEqual(['004/2=0402', '0d2/2=0081']);
    expect(ask(guest, disableMsi)).toBe(0);
    expect(guest.written()).toEqual(['0d2/2=0080', '004/2=0002']);
    expect([guest.operations.value, guest.pirqs.held.size]).toEqual([0x11, 0]);
  });

  it('fails alike for every cause, and leaves nothing behind', () => {
    const none = guestWith();
    none.pirqs.supply = 0;
    const without = guestWith({ rows: { 0x00: '86801234 02001000' } });
    const other = guestWith({ mode: { interruptControl: true } });
    other.filter.write(0xa2, 2, 0x8004);
    for (const guest of [none, without, other]) {
      guest.written();
      expect([ask(guest, enableMsi), guest.operations.value]).toEqual([-5, 0]);
      expect(guest.written()).toEqual([]);
      expect(guest.pirqs.held.size).toBe(0);
      expect(guest.filter.record.failures).toBe(1);
    }
  });

  it('says 0 when there is no legacy interrupt to go back to', () => {
    const guest = guestWith();
    guest.pirqs.intxPirq = 0;
    expect([ask(guest, disableMsi), guest.operations.value]).toEqual([0, 0]);
  });
});

test('what is told of a function before it has a guest is what its guest is granted', () => {
  const word = fc.record({ bar: fc.nat(7), offset: fc.oneof(fc.nat(0x20), fc.nat(0x1fff_ffff)) });
  const hexOf = ({ bar, offset }: { bar: number; offset: number }): string => {
    const value = ((offset << 3) | bar) >>> 0;
    return [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')).join('');
  };
  const msiIds = fc.constantFrom('05e08000', '09e08000');
  fc.assert(
    fc.property(word, word, msiIds, (table, pending, msi) => {
      const guest = guestWith({ rows: { ...nic, 0xa4: hexOf(table), 0xa8: hexOf(pending), 0xd0: msi } });
      const told = signallingOf(guest.filter.table);
      expect(ask(guest, enableMsix, [0]) === 0).toBe(told.msix);
      ask(guest, disableMsix);
      expect(ask(guest, enableMsi) === 0).toBe(told.msi);
      expect(told.intx).toBe(true);
    }),
    { numRuns: 300 },
  );
});

describe('MSI-X', () => {
  it('is as many vectors as asked for, at the entries asked for', () => {
    const guest = guestWith();
    expect(ask(guest, enableMsix, [4, 0, 2])).toBe(0);
    expect([guest.operations.value, guest.operations.vectors]).toEqual([0, 3]);
    expect(vectorsOf(guest)).toEqual([0x37, 0x38, 0x39]);
    expect(guest.op.subarray(9, 12)).toEqual(Int32Array.of(0x0004_0037, 0x38, 0x0002_0039));
    expect([...guest.pirqs.held.values()].map(({ entry }) => entry)).toEqual([4, 0, 2]);
    expect(guest.pirqs.held.get(0x37)?.tableBase).toBe(0xfeb8_0000n);
    expect(guest.written()).toEqual(['004/2=0402', '0a2/2=8004']);
    expect(ask(guest, disableMsix)).toBe(0);
    expect(guest.written()).toEqual(['0a2/2=0004', '004/2=0002']);
    expect(guest.pirqs.held.size).toBe(0);
  });

  it.each([
    ['none', [], 0],
    ['more than a page has', [], 129],
    ['a great many', [], -1],
    ['an entry twice', [1, 2, 1], 3],
    ['the entry after the last (XSA-164)', [5], 1],
    ['an entry far outside (XSA-164)', [0xffff], 1],
  ])('refuses %s, and maps nothing', (_, entries, count) => {
    const guest = guestWith();
    expect(ask(guest, enableMsix, entries, count)).toBe(-5);
    expect([guest.operations.value, guest.operations.vectors]).toEqual([count >>> 0, 0]);
    expect([guest.pirqs.next, guest.written()]).toEqual([0x37, []]);
  });

  it('is refused while the function does not decode memory (XSA-157)', () => {
    const guest = guestWith();
    guest.hardware.write(0x04, 2, 0x0001);
    expect(ask(guest, enableMsix, [0])).toBe(-5);
    guest.hardware.write(0x04, 2, 0x0002);
    expect(ask(guest, enableMsix, [0])).toBe(0);
  });

  it('of a virtual function depends on its physical one, as far as that can be asked', () => {
    const { filter, pirqs, hardware, op } = guestWith({ physicalFunction: 0x300 });
    hardware.write(0x04, 2, 0);
    const physical = guestWith();
    for (const [decoder, err] of [
      [null, 0],
      [hardware, -5],
      [physical.hardware, 0],
    ] as const) {
      const fn: ExportedFunction = { filter, pirqs, decoder };
      const operations = new RingOperations(() => fn);
      expect(ask({ op, operations }, enableMsix, [0])).toBe(err);
      ask({ op, operations }, disableMsix);
    }
  });

  it('is refused where the table lies outside of the function’s memory', () => {
    expect(ask(guestWith({ rows: nic }), enableMsix, [0])).toBe(-5);
  });

  it('gives back what was mapped when there are not enough', () => {
    const guest = guestWith();
    guest.pirqs.supply = 2;
    expect(ask(guest, enableMsix, [0, 1, 2])).toBe(-5);
    expect([guest.operations.value, guest.pirqs.held.size, guest.filter.record.vectors]).toEqual([3, 0, 0]);
    expect(guest.written()).toEqual([]);
    guest.pirqs.supply = 3;
    expect(ask(guest, enableMsix, [0, 1, 2])).toBe(0);
  });

  it('gives back a pirq that does not fit into an answer', () => {
    const guest = guestWith();
    guest.pirqs.next = 0xffff;
    expect(ask(guest, enableMsix, [0, 1])).toBe(-5);
    expect(guest.pirqs.held.size).toBe(0);
    guest.pirqs.next = 0x1_0000;
    expect([ask(guest, enableMsi), guest.operations.value]).toEqual([0, 0x1_0000]);
  });

  it('can be asked for a whole page of vectors', () => {
    const guest = guestWith({ rows: { ...nic, 0xa2: 'ff07', 0xa4: '00000000', 0xa8: '00000100' } });
    const entries = Array.from({ length: 128 }, (_, i) => 2047 - i);
    expect(ask(guest, enableMsix, entries)).toBe(0);
    expect(guest.pirqs.held.size).toBe(128);
    ask(guest, disableMsix);
    expect(guest.pirqs.held.size).toBe(0);
  });

  it('cannot be asked for one vector more than a page has, however large the table is', () => {
    const guest = guestWith({ rows: { ...nic, 0xa2: 'ff07', 0xa4: '00000000', 0xa8: '00000100' } });
    // Beyond the page there is no entry, which must not be taken for one that nobody has named yet.
    const entries = Array.from({ length: 128 }, (_, i) => i + 1);
    expect(ask(guest, enableMsix, entries, 129)).toBe(-5);
    expect([guest.operations.value, guest.operations.vectors]).toEqual([129, 0]);
    expect([guest.pirqs.next, guest.written()]).toEqual([0x37, []]);
  });
});

describe('switching off', () => {
  it('does not mean MSI when it says MSI-X', () => {
    const guest = guestWith();
    ask(guest, enableMsi);
    expect([ask(guest, disableMsix), guest.operations.value, guest.pirqs.held.size]).toEqual([0, 0x11, 1]);
    expect(guest.filter.record.interruptKind).toBe(InterruptKind.msi);
  });

  it('means MSI-X too when it says MSI, as Linux does, and a driver can be loaded again', () => {
    const guest = guestWith();
    ask(guest, enableMsix, [0, 1]);
    expect([ask(guest, disableMsi), guest.operations.value, guest.pirqs.held.size]).toEqual([0, 0x11, 0]);
    expect(guest.filter.record.interruptKind).toBe(InterruptKind.none);
    expect(ask(guest, enableMsix, [0])).toBe(0);
    ask(guest, disableMsi);
    expect(ask(guest, enableMsi)).toBe(0);
  });

  it('touches nothing when there is nothing on', () => {
    const guest = guestWith();
    ask(guest, disableMsi);
    ask(guest, disableMsix);
    expect(guest.written()).toEqual([]);
  });

  it('leaves a function alone that is being reset', () => {
    const guest = guestWith({ rows: { ...nic, 0xe4: '00000010' } });
    ask(guest, enableMsi);
    guest.filter.write(0xe8, 2, 0x8000);
    guest.written();
    expect(ask(guest, enableMsix, [0])).toBe(-5);
    ask(guest, disableMsi);
    expect(guest.written()).toEqual([]);
    expect(guest.pirqs.held.size).toBe(0);
    expect(ask(guest, enableMsi)).toBe(-5);
    guest.filter.resetFinished();
    expect(ask(guest, enableMsi)).toBe(0);
  });
});

it('10 000 failing requests cost 10 000 counts and nothing else (XSA-43)', () => {
  const guest = guestWith();
  guest.pirqs.supply = 0;
  for (let times = 0; times < 10_000; times++) ask(guest, enableMsi);
  expect([guest.filter.record.failures, guest.written(), guest.events]).toEqual([10_000, [], []]);
});

/** The next process: the same record, function and pirqs, and nothing else. */
function successor({ filter, pirqs, fn: { decoder } }: Guest): Asker & { readonly fn: ExportedFunction } {
  const { table, hardware, record, effects } = filter;
  const next = new ConfigFilter(table, hardware, record, effects);
  const fn: ExportedFunction = { filter: next, pirqs, decoder };
  return { fn, op: new Int32Array(137), operations: new RingOperations(() => fn) };
}

describe('when the process dies', () => {
  it('before the answer, the same request gives the same answer', () => {
    const guest = guestWith();
    ask(guest, enableMsi);
    const next = successor(guest);
    expect([ask(next, enableMsi), next.operations.value]).toEqual([0, 0x37]);
    expect(guest.pirqs.held.size).toBe(1);
    expect(ask(next, enableMsi)).toBe(-5);
  });

  it('before the answer, the same entries have the same vectors, and others are refused', () => {
    const guest = guestWith();
    ask(guest, enableMsix, [3, 1]);
    const next = successor(guest);
    expect(ask(next, enableMsix, [3, 1])).toBe(0);
    expect(vectorsOf(next)).toEqual([0x37, 0x38]);
    ask(guest, disableMsix);
    ask(guest, enableMsix, [3, 1]);
    expect(ask(successor(guest), enableMsix, [3, 2])).toBe(-5);
    expect(ask(successor(guest), enableMsi)).toBe(-5);
  });

  it('after the answer, the second request is refused as it always is', () => {
    const guest = guestWith();
    ask(guest, enableMsi);
    guest.operations.answered();
    expect(ask(successor(guest), enableMsi)).toBe(-5);
  });

  it('in the middle of a grant, its leftovers are given back first', () => {
    const guest = guestWith();
    const { record } = guest.filter;
    for (const entry of [0, 1]) record.addVector(entry, guest.pirqs.mapMsi(entry, 0n));
    guest.hardware.write(0xa2, 2, 0x8004);
    const next = successor(guest);
    expect(ask(next, enableMsix, [0, 1, 2])).toBe(0);
    expect([...guest.pirqs.held.keys()]).toEqual([0x39, 0x3a, 0x3b]);
  });

  it('in the middle of switching off, that is finished', () => {
    const guest = guestWith();
    ask(guest, enableMsix, [0, 1]);
    guest.pirqs.unmap(guest.filter.record.pirq(1));
    guest.filter.record.removeLastVector();
    const next = successor(guest);
    expect(ask(next, disableMsix)).toBe(0);
    expect([guest.pirqs.held.size, guest.filter.record.interruptKind]).toEqual([0, InterruptKind.none]);
  });
});

describe('when the process dies before any of its effects', () => {
  class ProcessDied extends Error {}

  /** Lets this many effects on hardware and pirqs through, then throws before the next one. */
  function dying(guest: Guest, effects: number): ExportedFunction {
    let left = effects;
    const spend = (): void => {
      if (left === 0) throw new ProcessDied();
      left -= 1;
    };
    const { filter, hardware, pirqs } = guest;
    const mortal: ConfigAccess = {
      length: hardware.length,
      read: (offset, size) => hardware.read(offset, size),
      write: (offset, size, value) => (spend(), hardware.write(offset, size, value)),
    };
    return {
      filter: new ConfigFilter(filter.table, mortal, filter.record, filter.effects),
      decoder: hardware,
      pirqs: {
        mapMsi: (entry, tableBase) => (spend(), pirqs.mapMsi(entry, tableBase)),
        unmap: (pirq) => (spend(), pirqs.unmap(pirq)),
        intx: () => pirqs.intx(),
      },
    };
  }

  it.each([
    ['enabling MSI', [], enableMsi, []],
    ['enabling MSI-X', [], enableMsix, [2, 0, 4]],
    ['disabling MSI', [enableMsi], disableMsi, []],
    ['disabling MSI-X', [enableMsix], disableMsix, []],
  ] as const)('the next one comes to the same end: %s', (_, before, cmd, entries) => {
    let deaths = 0;
    for (let effects = 0; effects < 12; effects++) {
      const guest = guestWith();
      for (const first of before) ask(guest, first, [1, 3]);
      guest.operations.answered();
      const fn = dying(guest, effects);
      try {
        ask({ op: guest.op, operations: new RingOperations(() => fn) }, cmd, entries);
      } catch (error) {
        expect(error).toBeInstanceOf(ProcessDied);
        deaths += 1;
      }
      const next = successor(guest);
      expect(ask(next, cmd, entries)).toBe(0);
      const on = cmd === enableMsi || cmd === enableMsix;
      const { record } = guest.filter;
      const held = Array.from({ length: record.vectors }, (__, index) => record.pirq(index));
      expect([...guest.pirqs.held.keys()]).toEqual(held);
      expect(held.length).toBe(on ? Math.max(entries.length, 1) : 0);
      expect(guest.hardware.read(0x04, 2)).toBe(on ? 0x0402 : 0x0002);
      expect(guest.hardware.read(0xd2, 2)).toBe(cmd === enableMsi ? 0x0081 : 0x0080);
      expect(guest.hardware.read(0xa2, 2)).toBe(cmd === enableMsix ? 0x8004 : 0x0004);
    }
    expect(deaths).toBeGreaterThanOrEqual(3);
  });
});

it('a guest that gave its request up has no interrupts that it does not know of', () => {
  const guest = guestWith();
  ask(guest, enableMsix, [0]);
  guest.operations.abandoned();
  expect([guest.pirqs.held.size, guest.filter.record.interruptKind]).toEqual([0, InterruptKind.none]);
  expect(guest.hardware.read(0xa2, 2)).toBe(0x0004);
  ask(guest, enableMsi);
  guest.operations.answered();
  guest.operations.abandoned();
  expect(guest.pirqs.held.size).toBe(1);
});

it('whatever is asked for, in whatever order and with however few pirqs, none is lost and one kind at most is on', () => {
  const deed = fc.oneof(
    fc.record({ cmd: fc.constantFrom(enableMsi, disableMsi, disableMsix) }),
    fc.record({ cmd: fc.constant(enableMsix), entries: fc.array(fc.nat(6), { maxLength: 6 }) }),
    fc.record({ cmd: fc.constant(-1), supply: fc.nat(4) }),
  );
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
      const guest = guestWith();
      const { record } = guest.filter;
      for (const wanted of deeds) {
        if ('supply' in wanted) guest.pirqs.supply = wanted.supply;
        else ask(guest, wanted.cmd, 'entries' in wanted ? wanted.entries : []);
        const msi = (guest.hardware.read(0xd2, 2) & 1) !== 0;
        const msix = (guest.hardware.read(0xa2, 2) & 0x8000) !== 0;
        const kind = msi ? InterruptKind.msi : msix ? InterruptKind.msix : InterruptKind.none;
        expect(msi && msix).toBe(false);
        expect([record.interruptKind, record.vectors]).toEqual([kind, guest.pirqs.held.size]);
        expect(kind === InterruptKind.none).toBe(guest.pirqs.held.size === 0);
      }
      revoke(guest.fn);
      expect(guest.pirqs.held.size).toBe(0);
    }),
    { numRuns: 300 },
  );
});
