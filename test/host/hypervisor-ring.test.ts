import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FrontRing } from '../../src/host/front-ring.ts';
import { Command, Flag, OpWord, PageOffset } from '../../src/ring/layout.ts';
import { patience } from '../bounds.ts';
import { domid, noiseOp, setUp, settle, until } from './loopback-setting.ts';

describe('looking', () => {
  test('an empty page is idle, however long one looks', () => {
    const { ring } = setUp();
    expect(ring.look(0)).toBe('idle');
    expect(ring.look(1)).toBe('idle');
    expect(ring.look(10_000)).toBe('idle');
  });

  test('a request is copied as a whole', () => {
    const { ring, front } = setUp();
    front.submit(noiseOp());
    expect(ring.look(1)).toBe('request');
    expect(ring.op).toEqual(noiseOp());
  });

  test('the copy does not follow the page', () => {
    const { ring, front, page } = setUp();
    front.submit(noiseOp());
    ring.look(1);
    page.fill(-1);
    expect(ring.op).toEqual(noiseOp());
  });

  test('other flags are no request', () => {
    const { ring, page } = setUp();
    page[0] = ~Flag.requestActive;
    expect(ring.look(1)).toBe('idle');
  });
});

describe('answering', () => {
  test('writes err and value, clears bit 0, and touches nothing else', () => {
    const { ring, front, page } = setUp();
    page.fill(0x5a5a5a5a);
    page[0] = ~0;
    front.submit(noiseOp());
    const expected = page.slice();
    ring.look(1);
    expect(ring.answer(-3, 0xdeadbeef, 0)).toBe('published');
    expected[0] = ~Flag.requestActive;
    expected[PageOffset.op / 4 + OpWord.err] = -3;
    expected[PageOffset.op / 4 + OpWord.value] = 0xdeadbeef | 0;
    expect(page).toEqual(expected);
  });

  test.each([1, 3, 127, 128])('writes the vector half of %i MSI-X entries', (vectors) => {
    const { ring, front, page } = setUp();
    front.submit(noiseOp());
    ring.look(1);
    const expected = page.slice();
    for (let i = 0; i < 128; i++) {
      const word = OpWord.msixEntries + i;
      // What the back-end makes of the upper half must not matter.
      ring.op[word] = 0x1234_0000 | (0x37 + i);
      if (i < vectors) {
        const kept = (expected[PageOffset.op / 4 + word] ?? 0) & 0xffff0000;
        expected[PageOffset.op / 4 + word] = kept | (0x37 + i);
      }
    }
    expected[0] = 0;
    expected[PageOffset.op / 4 + OpWord.err] = 0;
    expected[PageOffset.op / 4 + OpWord.value] = 0;
    expect(ring.answer(0, 0, vectors)).toBe('published');
    expect(page).toEqual(expected);
  });

  test('a signed and an unsigned spelling of a value are the same 32 bits', () => {
    const { ring, front } = setUp();
    for (const value of [0xffff0001, 0xffff0001 | 0]) {
      const op = noiseOp();
      front.submit(op);
      ring.look(1);
      ring.answer(0, value, 0);
      front.poll(op);
      expect(op[OpWord.value]).toBe(0xffff0001 | 0);
    }
  });

  test('is dropped when the front-end has given up', () => {
    const { ring, front, page } = setUp();
    front.submit(noiseOp());
    ring.look(1);
    expect(front.giveUp()).toBe(true);
    const before = page.slice();
    expect(ring.answer(0, 1, 128)).toBe('abandoned');
    expect(page).toEqual(before);
    expect(front.waitEvent(0)).toBe(false);
  });

  test.each(['cmd', 'domain', 'bus', 'devfn', 'offset', 'size'] as const)(
    'is dropped when the front-end asks something else by now: %s',
    (field) => {
      const { ring, front, page } = setUp();
      const op = noiseOp();
      front.submit(op);
      ring.look(1);
      front.giveUp();
      op[OpWord[field]] = 0;
      front.submit(op);
      const before = page.slice();
      expect(ring.answer(0, 1, 128)).toBe('abandoned');
      expect(page).toEqual(before);
      expect(ring.look(1)).toBe('request');
      expect(ring.op).toEqual(op);
      expect(ring.answer(0, 1, 0)).toBe('published');
    },
  );

  const entry = (index: number): number => OpWord.msixEntries + index;

  test.each([
    ['the value of a write', Command.confWrite, 7, OpWord.value],
    ['the upper half of a value', Command.confWrite, 7, OpWord.value, 0x10000],
    ['the number of MSI-X entries', Command.enableMsix, 3, OpWord.value],
    ['the first MSI-X entry', Command.enableMsix, 3, entry(0), 0x10000],
    ['the last MSI-X entry', Command.enableMsix, 3, entry(2), 0x10000],
    ['the last MSI-X entry of too many', Command.enableMsix, 0xffff, entry(127), 0x10000],
  ] as const)('is dropped when the front-end asks with another operand by now: %s', (...row) => {
    const [, cmd, value, word, change = 1] = row;
    const { ring, front, page } = setUp();
    const op = noiseOp();
    op[OpWord.cmd] = cmd;
    op[OpWord.value] = value;
    front.submit(op);
    ring.look(1);
    front.giveUp();
    // Rewritten in place, as by a front-end that stores only the words that differ.
    page[1 + word] = (page[1 + word] ?? 0) + change;
    page[0] = Flag.requestActive;
    const before = page.slice();
    expect(ring.answer(0, 1, 0)).toBe('abandoned');
    expect(page).toEqual(before);
    expect(ring.look(1)).toBe('request');
    expect(ring.op[word]).toBe((op[word] ?? 0) + change);
    expect(ring.answer(0, 1, 0)).toBe('published');
  });

  test.each([
    ['the value of a read', Command.confRead, OpWord.value, 1],
    ['the entry behind the last', Command.enableMsix, entry(2), 0x10000],
    ['a vector', Command.enableMsix, entry(0), 1],
  ] as const)('is given whatever a request carries beside its operands: %s', (_, cmd, word, change) => {
    const { ring, front, page } = setUp();
    const op = noiseOp();
    op[OpWord.cmd] = cmd;
    op[OpWord.value] = 2;
    front.submit(op);
    ring.look(1);
    page[1 + word] = (page[1 + word] ?? 0) + change;
    expect(ring.answer(0, 1, 0)).toBe('published');
  });

  // What was done for the first of them was done before the second was asked for.
  test('is dropped when the front-end asks the same once more by now', () => {
    const { ring, front } = setUp();
    const op = noiseOp();
    op[OpWord.cmd] = Command.confWrite;
    for (let times = 0; times < 3; times++) {
      front.submit(op);
      expect(ring.look(1)).toBe('request');
      expect(ring.op[OpWord.value]).toBe(op[OpWord.value]);
      front.giveUp();
    }
    front.submit(op);
    expect(ring.answer(0, 1, 0)).toBe('abandoned');
    expect(ring.look(1)).toBe('request');
    expect(ring.answer(0, 1, 0)).toBe('published');
  });

  test('signals the front-end once for each answer, and not for none', () => {
    const { ring, front } = setUp();
    expect(front.waitEvent(0)).toBe(false);
    front.submit(noiseOp());
    ring.look(1);
    ring.answer(0, 0, 0);
    expect(front.waitEvent(patience)).toBe(true);
    expect(ring.answer(0, 0, 0)).toBe('abandoned');
    expect(front.waitEvent(0)).toBe(false);
  });

  test('notify signals without an answer', () => {
    const { ring, front } = setUp();
    ring.notify();
    expect(front.waitEvent(patience)).toBe(true);
  });

  test('arguments out of range are refused with a sentence', () => {
    const { ring } = setUp();
    expect(() => ring.answer(0, 0, 129)).toThrow(new TypeError('vectors must be an integer from 0 to 128'));
    expect(() => ring.answer(0, 2 ** 32, 0)).toThrow(TypeError);
    expect(() => ring.answer(0.5, 0, 0)).toThrow(TypeError);
    expect(() => ring.look(-1)).toThrow('turns must be an integer from 0 to 4294967295');
  });
});

describe('waking', () => {
  test('a fresh ring wakes once, since the front-end may have been first', async () => {
    const { wakes } = setUp();
    await until(() => wakes.count === 1);
    await settle();
    expect(wakes.count).toBe(1);
  });

  test('events stay pending until rearm, and cost one wake', async () => {
    const { ring, front, wakes } = setUp();
    await until(() => wakes.count === 1);
    for (let i = 0; i < 1000; i++) front.notify();
    await settle();
    expect(wakes.count).toBe(1);
    ring.rearm();
    await until(() => wakes.count === 2);
    await settle();
    expect(wakes.count).toBe(2);
    ring.rearm();
    await settle();
    expect(wakes.count).toBe(2);
  });

  test('serves a front-end that waits for events', async () => {
    const { ring, front } = setUp((woken) => {
      while (woken.look(64) === 'request') woken.answer(0, (woken.op[OpWord.offset] ?? 0) + 1, 0);
      woken.rearm();
    });
    const op = noiseOp();
    let answered = 0;
    const ask = (): void => {
      op[OpWord.offset] = answered;
      front.submit(op);
    };
    front.onEvent(() => {
      if (!front.poll(op)) return;
      expect(op[OpWord.value]).toBe(answered + 1);
      answered++;
      if (answered < 500) ask();
    });
    ask();
    await until(() => answered === 500);
    expect(ring.look(1)).toBe('idle');
  });

  test('a full FIFO is pending already: nobody blocks, nothing fails', async () => {
    const { ring, front, wakes } = setUp();
    for (let i = 0; i < 70_000; i++) front.notify();
    for (let i = 0; i < 70_000; i++) ring.notify();
    await until(() => wakes.count === 1);
    expect(front.waitEvent(patience)).toBe(true);
  });
});

describe('a page that is taken away', () => {
  test('is noticed by the next look', () => {
    const { directory, ring, front } = setUp();
    front.submit(noiseOp());
    directory.truncatePage(domid, front.ref);
    expect(ring.look(1)).toBe('vanished');
    expect(ring.look(1)).toBe('vanished');
    expect(ring.answer(0, 0, 0)).toBe('vanished');
  });

  test('is noticed by the answer', () => {
    const { directory, ring, front } = setUp();
    front.submit(noiseOp());
    expect(ring.look(1)).toBe('request');
    directory.truncatePage(domid, front.ref);
    expect(ring.answer(0, 0, 0)).toBe('vanished');
  });

  test('concerns no other guest', () => {
    const { directory, hypervisor, ring, front } = setUp();
    const other = new FrontRing(directory.path, 6);
    const otherRing = hypervisor.openRing(6, other.ref, other.port, () => undefined);
    directory.truncatePage(domid, front.ref);
    expect(ring.look(1)).toBe('vanished');
    other.submit(noiseOp());
    expect(otherRing.look(1)).toBe('request');
    expect(otherRing.answer(0, 0, 0)).toBe('published');
    otherRing.close();
    other.close();
  });

  test('stays, when only its name is removed', () => {
    const { directory, ring, front } = setUp();
    rmSync(directory.path, { recursive: true });
    front.submit(noiseOp());
    expect(ring.look(1)).toBe('request');
    expect(ring.answer(0, 0, 0)).toBe('published');
    ring.rearm();
  });
});
