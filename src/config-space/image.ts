/** A configuration space as bytes: what was read of it once. Reads beyond its end give zero, like absent registers. */
import type { AccessSize, ConfigAccess } from './access.ts';

export type Image = Uint8Array;

export const byteAt = (image: Image, offset: number): number => image[offset] ?? 0;
export const wordAt = (image: Image, offset: number): number =>
  byteAt(image, offset) | (byteAt(image, offset + 1) << 8);
/** Unsigned. */
export const dwordAt = (image: Image, offset: number): number =>
  (wordAt(image, offset) | (wordAt(image, offset + 2) << 16)) >>> 0;

export function valueAt(image: Image, offset: number, size: AccessSize): number {
  if (size === 4) return dwordAt(image, offset);
  return size === 2 ? wordAt(image, offset) : byteAt(image, offset);
}

export function putWord(image: Image, offset: number, value: number): void {
  image[offset] = value;
  image[offset + 1] = value >>> 8;
}

/** Reads a whole configuration space, a register at a time. */
export function readImage(hardware: ConfigAccess): Image {
  const image = new Uint8Array(hardware.length);
  const view = new DataView(image.buffer);
  for (let offset = 0; offset < hardware.length; offset += 4) {
    view.setUint32(offset, hardware.read(offset, 4), true);
  }
  return image;
}

/** Bits of a value that an access of this many bytes carries. */
export const widthMask = (size: number): number => (size === 4 ? -1 : (1 << (size << 3)) - 1);
