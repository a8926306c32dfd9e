import { describe, expect, it } from 'vitest';
import { FunctionRecord, InterruptKind, recordSize } from '../../src/config-space/record.ts';

const fresh = (): { readonly buffer: ArrayBuffer; readonly record: FunctionRecord } => {
  const buffer = new ArrayBuffer(recordSize);
  return { buffer, record: FunctionRecord.create(buffer, 0x0002) };
};

describe('a record', () => {
  it('is found again in its bytes, with everything in it', () => {
    const { buffer, record } = fresh();
    record.commandShadow = 0x0407;
    record.enabled = true;
    record.sizing = 0x41;
    record.resetting = true;
    record.addVector(7, 0x1_0037);
    record.addVector(2047, 0x38);
    record.grant(InterruptKind.msix, 4);
    record.countRead();
    record.countWrite();
    record.countFailure();
    record.countDenied(0xffc);
    record.noteRefused(0xffe, 0x8001);
    const found = FunctionRecord.adopt(buffer.slice(0));
    expect(found).toMatchObject({
      commandShadow: 0x0407,
      enabled: true,
      sizing: 0x41,
      resetting: true,
      vectors: 2,
      interruptKind: InterruptKind.msix,
      unanswered: 4,
      reads: 1,
      writes: 1,
      failures: 1,
      denied: 1,
      generation: 1,
    });
    expect([found?.pirq(0), found?.pirq(1), found?.entry(0), found?.entry(1)]).toEqual([
      0x1_0037, 0x38, 7, 2047,
    ]);
    expect([found?.deniedAt(0xffc), found?.deniedAt(0xff8)]).toEqual([1, 0]);
    expect([found?.refusedAt(0xffc), found?.refusedAt(0xff8)]).toEqual([0x8001_0000, 0]);
  });

  it('lies where the layout says', () => {
    const { buffer, record } = fresh();
    record.enabled = true;
    record.addVector(0x0102, 0x0304_0506);
    record.countDenied(0x08);
    record.noteRefused(0x08, 1);
    const bytes = new DataView(buffer);
    expect(String.fromCodePoint(...new Uint8Array(buffer, 0, 4))).toBe('PCIB');
    expect([bytes.getUint32(4, true), bytes.getUint32(8, true), bytes.getUint32(12, true)]).toEqual([
      2, 1, 2,
    ]);
    expect(bytes.getUint32(0x10, true)).toBe(1);
    expect(bytes.getUint32(0x20, true)).toBe(1);
    expect(bytes.getFloat64(0x50, true)).toBe(1);
    expect(bytes.getUint32(0x100, true)).toBe(0x0304_0506);
    expect(bytes.getUint16(0x300, true)).toBe(0x0102);
    expect(bytes.getUint16(0x804, true)).toBe(1);
    expect(bytes.getUint32(0x1008, true)).toBe(1);
  });

  it('shows the next guest nothing of the last one', () => {
    const { buffer, record } = fresh();
    record.sizing = 1;
    record.addVector(1, 2);
    record.countDenied(4);
    record.noteRefused(4, 1);
    record.reset(0x0006);
    expect(record).toMatchObject({ commandShadow: 6, sizing: 0, vectors: 0, denied: 0, generation: 2 });
    const clean = FunctionRecord.create(new ArrayBuffer(recordSize), 0x0006);
    clean.reset(0x0006);
    const other = new ArrayBuffer(recordSize);
    FunctionRecord.create(other, 0).reset(0x0006);
    expect(new Uint8Array(buffer)).toEqual(new Uint8Array(other));
  });

  it('is not adopted from something else', () => {
    expect(FunctionRecord.adopt(new ArrayBuffer(recordSize))).toBeUndefined();
    const { buffer } = fresh();
    new Uint32Array(buffer)[1] = 99;
    expect(FunctionRecord.adopt(buffer)).toBeUndefined();
    const random = new Uint8Array(recordSize).fill(0xa5);
    expect(FunctionRecord.adopt(random.buffer)).toBeUndefined();
  });

  it('stays within its bounds when its bytes are damaged', () => {
    const { buffer, record } = fresh();
    new Uint32Array(buffer)[8] = 0xffff_ffff;
    expect(record.vectors).toBe(128);
    record.addVector(1, 1);
    expect(record.vectors).toBe(128);
    expect(record.pirq(128)).toBe(0);
    record.removeLastVector();
    expect(record.vectors).toBe(127);
  });

  it('names the request behind its interrupts until that is answered', () => {
    const { record } = fresh();
    record.grant(InterruptKind.msi, 2);
    expect([record.interruptKind, record.unanswered]).toEqual([InterruptKind.msi, 2]);
    record.answered();
    expect([record.interruptKind, record.unanswered]).toEqual([InterruptKind.msi, 0]);
    record.revoked();
    expect(record.interruptKind).toBe(InterruptKind.none);
  });

  it('counts denied writes of one register up to 65535, and all of them without end', () => {
    const { record } = fresh();
    for (let times = 0; times < 70_000; times++) record.countDenied(0x10);
    expect([record.deniedAt(0x10), record.deniedAt(0x13), record.denied]).toEqual([65_535, 65_535, 70_000]);
  });
});
