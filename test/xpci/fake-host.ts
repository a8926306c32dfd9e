/**
 * A back-end for the tests of the guest's side: functions that are RAM with real BAR registers behind them, and no filter at
 * all. Small on purpose and unlike the real engine, so that the two cannot share a mistake.
 */
import { makeSbdf, type Sbdf } from '../../src/address.ts';
import type { RequestChannel } from '../../src/xpci/index.ts';

export interface FakeBar {
  readonly offset: number;
  /** What the register shows after all ones were written to it. */
  readonly mask: number;
  readonly value: number;
}

export interface LoggedRequest {
  readonly cmd: number;
  readonly address: Sbdf;
  readonly offset: number;
  readonly size: number;
  readonly value: number;
}

/** A function's registers, written by offset and width. */
export class FakeFunction {
  readonly bytes = new DataView(new ArrayBuffer(4096));
  readonly #bars: readonly FakeBar[];
  firstPirq = 0x37;
  interruptMode: 'none' | 'msi' | 'msix' = 'none';

  constructor(registers: Readonly<Record<number, readonly number[]>>, bars: readonly FakeBar[] = []) {
    for (const [offset, bytes] of Object.entries(registers))
      bytes.forEach((byte, i) => this.bytes.setUint8(Number(offset) + i, byte));
    this.#bars = bars;
    for (const bar of bars) this.bytes.setUint32(bar.offset, bar.value, true);
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i -= 1) value = value * 256 + this.bytes.getUint8(offset + i);
    return value;
  }

  write(offset: number, size: number, value: number): void {
    const bar = this.#bars.find((candidate) => candidate.offset === offset);
    if (!bar && this.#isBarRegister(offset)) return;
    const stored = bar ? value & bar.mask : value;
    for (let i = 0; i < size; i += 1) this.bytes.setUint8(offset + i, (stored >>> (8 * i)) & 0xff);
    // The flag bits of a BAR are hard-wired.
    if (bar) this.bytes.setUint8(offset, this.bytes.getUint8(offset) | (bar.value & 0xf));
  }

  #isBarRegister(offset: number): boolean {
    const isBridge = (this.bytes.getUint8(0x0e) & 0x7f) === 1;
    return (offset >= 0x10 && offset < (isBridge ? 0x18 : 0x28)) || offset === (isBridge ? 0x38 : 0x30);
  }
}

export class FakeHost implements RequestChannel {
  readonly functions = new Map<Sbdf, FakeFunction>();
  readonly log: LoggedRequest[] = [];
  /** When set, answers nothing. */
  silent = false;

  add(device: number, fn: number, registers: FakeFunction, bus = 0): this {
    this.functions.set(makeSbdf(0, bus, device, fn), registers);
    return this;
  }

  exchange(op: Int32Array): number | null {
    const [cmd = 0, , domain = 0, bus = 0, devfn = 0, offset = 0, size = 0, value = 0] = op;
    const address = makeSbdf(domain, bus, devfn >>> 3, devfn & 7);
    this.log.push({ cmd, address, offset, size, value: value >>> 0 });
    if (this.silent) return null;
    const err = this.#answer(op, address);
    op[1] = err;
    return err;
  }

  #answer(op: Int32Array, address: Sbdf): number {
    const [cmd = 0, , domain = 0, bus = 0, devfn = 0, offset = 0, size = 0, value = 0] = op;
    const inRange = domain === 0 && bus >>> 8 === 0 && devfn >>> 8 === 0;
    const fn = inRange ? this.functions.get(address) : undefined;
    if (!fn) return -1;
    if (cmd < 0 || cmd > 5) return -4;
    if (cmd > 1) return interruptCommand(fn, op);
    if (![1, 2, 4].includes(size) || offset < 0 || offset % size !== 0 || offset + size > 4096) {
      if (cmd === 0) op[7] = 0;
      return -2;
    }
    if (cmd === 0) op[7] = fn.read(offset, size);
    else fn.write(offset, size, value);
    return 0;
  }
}

function interruptCommand(fn: FakeFunction, op: Int32Array): number {
  const [cmd, , , , , , , count = 0] = op;
  if (cmd === 3 || cmd === 5) {
    fn.interruptMode = 'none';
    op[7] = 17;
    return 0;
  }
  if (fn.interruptMode !== 'none') return -5;
  if (cmd === 2) {
    fn.interruptMode = 'msi';
    op[7] = fn.firstPirq;
    return 0;
  }
  if (count < 1 || count > 128) return -5;
  fn.interruptMode = 'msix';
  op[7] = 0;
  for (let i = 0; i < count; i += 1) op[9 + i] = ((op[9 + i] ?? 0) & ~0xffff) | (fn.firstPirq + i);
  return 0;
}

/** Little-endian bytes of double words. */
export const words = (...values: readonly number[]): number[] =>
  values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]);

/**
 * A network adapter: memory BARs of 32 and 64 bits, ports, a ROM, and both kinds of capability lists.
 */
export const networkAdapter = (): FakeFunction =>
  new FakeFunction(
    {
      0x00: words(0x10d3_8086, 0x0010_0003, 0x0200_0002, 0x0000_0010),
      0x2c: words(0xa01f_8086),
      0x34: words(0xc8),
      0x3c: [0x11, 0x01],
      0xa0: words(0x0004_b011, 0x0000_0003, 0x0000_2003),
      0xb0: words(0x0000_0003),
      0xc8: words(0xc822_d001, 0x0000_2008),
      0xd0: words(0x0180_e005),
      0xe0: words(0x0001_a010),
      0x100: words(0x1401_0001),
      0x140: words(0x0001_0003),
    },
    [
      { offset: 0x10, mask: 0xfffe_0000, value: 0xfeb8_0000 },
      { offset: 0x14, mask: 0xffff_c00c, value: 0xc000_000c },
      { offset: 0x18, mask: 0xffff_ffff, value: 0x0000_0001 },
      { offset: 0x1c, mask: 0xffff_ffe1, value: 0x0000_e001 },
      { offset: 0x30, mask: 0xfffc_0001, value: 0xfeb4_0000 },
    ],
  );
