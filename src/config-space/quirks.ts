/**
 * Quirks: register ranges that an administrator lets a guest write in addition, in the notation of Linux xen-pciback's
 * `quirks` attribute. Unlike there, the mask is enforced bit by bit, and a range that has a rule already is refused rather
 * than silently left alone.
 */
import { formatSbdf, parseSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import type { AccessSize } from './access.ts';
import { widthMask } from './image.ts';
import { forwarded, register, type Register } from './register.ts';

export interface Quirk {
  readonly sbdf: Sbdf;
  /** 0..0xFFF, aligned to the size. */
  readonly offset: number;
  readonly size: AccessSize;
  /** Bits that may be written. */
  readonly mask: number;
}

const spelling = /^(.+)-([0-9a-f]{1,3}):([0-9a-f]+):([0-9a-f]{1,8})$/i;
const form = 'write [SSSS:]BB:DD.F-REGISTER:SIZE:MASK, every number in hexadecimal';

/** Reads `[dddd:]bb:ss.f-reg:size:mask`, all in hexadecimal. Throws BAD-SPEC. */
export function parseQuirk(text: string): Quirk {
  const bad = (what: string, remedy = form): PcibackError =>
    new PcibackError('BAD-SPEC', `quirk "${text}": ${what}`, remedy);
  const match = spelling.exec(text);
  if (!match) throw bad('not of the form ADDRESS-REGISTER:SIZE:MASK');
  const [, address = '', ...numbers] = match;
  const sbdf = parseSbdf(address);
  if (sbdf === undefined) throw bad(`${address} is not the address of a PCI function`);
  const [offset = 0, size = 0, mask = 0] = numbers.map((digits) => Number.parseInt(digits, 16));
  if (size !== 1 && size !== 2 && size !== 4) throw bad('the size is not 1, 2 or 4');
  if (offset % size !== 0)
    throw bad(`a register of ${size} bytes cannot begin there`, 'split it into smaller ones');
  if (mask > widthMask(size) >>> 0) throw bad(`the mask has more than ${8 * size} bits`);
  return { sbdf, offset, size, mask };
}

/** The spelling that `parseQuirk` reads, as Linux prints it. */
export function formatQuirk({ sbdf, offset, size, mask }: Quirk): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return `${formatSbdf(sbdf)}-${hex(offset, 2)}:${size}:${hex(mask, 8)}`;
}

/** What one more quirk makes of those that a function has. */
export interface QuirkChange {
  readonly quirks: readonly Quirk[];
  /** Those that overlap it, and are no more. Without the quirk itself, when the function has it already. */
  readonly replaced: readonly Quirk[];
  /** Whether anything is different afterwards. */
  readonly changed: boolean;
}

/** Adds a quirk, which takes the place of those that it overlaps; with an empty mask it only takes these back. */
export function withQuirk(quirks: readonly Quirk[], quirk: Quirk): QuirkChange {
  const isApart = ({ offset, size }: Quirk): boolean =>
    offset + size <= quirk.offset || offset >= quirk.offset + quirk.size;
  const written = formatQuirk(quirk);
  if (quirks.some((each) => formatQuirk(each) === written)) return { quirks, replaced: [], changed: false };
  const others = quirks.filter(isApart);
  const replaced = quirks.filter((each) => !isApart(each));
  const changed = quirk.mask !== 0 || replaced.length > 0;
  return { quirks: quirk.mask === 0 ? others : [...others, quirk], replaced, changed };
}

export const quirkRegister = ({ offset, size, mask }: Quirk): Register =>
  register('Quirk', offset, size, { rule: forwarded, reaches: mask });
