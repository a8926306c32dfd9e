import { Flag, PageOffset } from '../../ring/layout.ts';

/** The shared page and the event channel as bare memory and a bare signal. */
export interface RawPage {
  read(offset: number, length: number): Buffer;
  write(offset: number, bytes: Uint8Array): void;
  /** Signals the back-end; lost when its end is gone. */
  notify(): void;
}

/** The flags are changed with a plain store. That races with the back-end, which is what this guest is about. */
export const setFlags = (page: RawPage, flags: number): void =>
  page.write(PageOffset.flags, littleEndian(flags));
export const flagsOf = (page: RawPage): number => page.read(PageOffset.flags, 4).readUInt32LE();
export const isActive = (page: RawPage): boolean => (flagsOf(page) & Flag.requestActive) !== 0;

export function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
