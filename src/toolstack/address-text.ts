/**
 * PCI addresses as people write them. One scanner serves the `hide=` lists and the device specifications; it reads
 * `[segment:]bus:device.function` in hexadecimal and says exactly which character is wrong. What C's scanf would also
 * take (blanks, signs, 0x, numbers that wrap at 32 bits) is refused: an address names hardware that is about to be
 * handed to a guest.
 */
import { busOf, deviceOf, functionOf, makeSbdf, segmentOf, type Sbdf } from '../address.ts';
import { problem, type Problem } from './problem.ts';

/** One function, or with `null` for `*` all functions of a slot or of a bus. */
export interface AddressPattern {
  readonly segment: number;
  readonly bus: number;
  readonly device: number | null;
  readonly fn: number | null;
}

/** What `*` may stand for: nothing, the function, or also the device when it stands for the function too. */
export type Wildcards = 'none' | 'function' | 'device';

export const patternMatches = (pattern: AddressPattern, sbdf: Sbdf): boolean =>
  pattern.segment === segmentOf(sbdf) &&
  pattern.bus === busOf(sbdf) &&
  (pattern.device === null || pattern.device === deviceOf(sbdf)) &&
  (pattern.fn === null || pattern.fn === functionOf(sbdf));

/** The pattern that matches one function only. */
export const sbdfPattern = (sbdf: Sbdf): AddressPattern => ({
  segment: segmentOf(sbdf),
  bus: busOf(sbdf),
  device: deviceOf(sbdf),
  fn: functionOf(sbdf),
});

/** The one function that a pattern without `*` names; undefined for the others. */
export const patternSbdf = ({ segment, bus, device, fn }: AddressPattern): Sbdf | undefined =>
  device === null || fn === null ? undefined : makeSbdf(segment, bus, device, fn);

export function formatPattern({ segment, bus, device, fn }: AddressPattern): string {
  const hex = (value: number | null, digits: number): string =>
    value === null ? '*' : value.toString(16).padStart(digits, '0');
  return `${hex(segment, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${hex(fn, 1)}`;
}

export type Scanned = { readonly pattern: AddressPattern; readonly end: number };

/** A number of an address as it stands in the text; `*` has the digits `*`. */
export interface Part {
  readonly at: number;
  readonly digits: string;
}

const form = 'an address is [segment:]bus:device.function in hexadecimal, as in 0000:03:00.0';

const limits = { segment: 0xffff, bus: 0xff, device: 0x1f, function: 7 } as const;
type Field = keyof typeof limits;

/** Leading zeros are welcome, within reason. */
const mostDigits = 16;

export const isProblem = (value: object): value is Problem => 'what' in value;

function numberOf(field: Field, { at, digits }: Part): number | Problem {
  if (digits.length > mostDigits) {
    const what = `a ${field} number of ${digits.length} digits is none`;
    return problem(at, digits.length, what, `write at most ${mostDigits}; ${form}`);
  }
  const value = Number.parseInt(digits, 16);
  const limit = limits[field];
  if (value <= limit) return value;
  const largest = limit.toString(16);
  const range = `${'0'.repeat(largest.length)} to ${largest}`;
  return problem(
    at,
    digits.length,
    `there is no ${field} ${digits}`,
    `${field} numbers go from ${range}; ${form}`,
  );
}

const numberOrAny = (field: Field, part: Part): number | null | Problem =>
  part.digits === '*' ? null : numberOf(field, part);

/** The numbers of an address as they stand in the text. */
export interface AddressParts {
  /** Segment 0 when it is not written. */
  readonly segment: Part | undefined;
  readonly bus: Part;
  readonly device: Part;
  readonly fn: Part;
}

/** Checks that each number of an address is in its range. */
export function makePattern(parts: AddressParts): AddressPattern | Problem {
  const segment = parts.segment ? numberOf('segment', parts.segment) : 0;
  if (typeof segment === 'object') return segment;
  const bus = numberOf('bus', parts.bus);
  if (typeof bus === 'object') return bus;
  const device = numberOrAny('device', parts.device);
  if (device !== null && typeof device === 'object') return device;
  const fn = numberOrAny('function', parts.fn);
  if (fn !== null && typeof fn === 'object') return fn;
  return { segment, bus, device, fn };
}

/** The hexadecimal digits from `at` on; `*` instead of them where one is allowed. */
function scanPart(text: string, at: number, to: number, field: string, star: boolean): Part | Problem {
  let end = at;
  while (end < to && /[0-9a-f]/i.test(text.charAt(end))) end += 1;
  const next = end < to ? text.charAt(end) : '';
  if (end === at && next === '*' && star) return { at, digits: '*' };
  if (end - at === 1 && text.charAt(at) === '0' && /x/i.test(next)) {
    return problem(at, 2, 'addresses are hexadecimal without 0x', `leave 0x out; ${form}`);
  }
  if (end > at) return { at, digits: text.slice(at, end) };
  if (next === '') return problem(at, 0, `the ${field} number is missing`, form);
  if (next === '*') return problem(at, 1, `* cannot stand for the ${field}`, form);
  if (/\s/.test(next)) return problem(at, 1, 'a blank cannot stand in an address', 'take the blank out');
  if (/[+-]/.test(next)) return problem(at, 1, `a ${field} number has no sign`, form);
  return problem(at, 1, `'${next}' is not a ${field} number`, form);
}

/**
 * Reads an address from `text[from..to)` and says where it ends; what follows is the caller's business. The names of the
 * leading parts are known only once the point has been found: with two colons the first number is the segment.
 */
export function scanAddress(text: string, from: number, to: number, wildcards: Wildcards): Scanned | Problem {
  const parts: Part[] = [];
  let at = from;
  for (;;) {
    const field = parts.length === 0 ? 'bus' : 'device';
    const part = scanPart(text, at, to, field, wildcards === 'device' && parts.length > 0);
    if (isProblem(part)) return part;
    parts.push(part);
    at = part.at + part.digits.length;
    if (at >= to || text.charAt(at) !== ':') break;
    if (parts.length === 3)
      return problem(at, 1, 'an address has at most three numbers before the point', form);
    at += 1;
  }
  const device = parts.pop();
  const bus = parts.pop();
  const segment = parts.pop();
  if (!device || !bus) {
    return at >= to
      ? problem(from, at - from, `'${text.slice(from, at)}' is not a PCI address`, form)
      : problem(
          at,
          1,
          `':' and the device number should follow the bus number, not '${text.charAt(at)}'`,
          form,
        );
  }
  if (at >= to || text.charAt(at) !== '.') {
    const written = text.slice(from, at);
    const remedy = `write ${written}.0${wildcards === 'none' ? '' : `, or ${written}.* for all functions of the slot`}`;
    return at >= to
      ? problem(at, 0, 'the function number is missing', remedy)
      : problem(at, 1, `a point and the function number should stand here, not '${text.charAt(at)}'`, remedy);
  }
  const fn = scanPart(text, at + 1, to, 'function', wildcards !== 'none');
  if (isProblem(fn)) return fn;
  const pattern = makePattern({ segment, bus, device, fn });
  if (isProblem(pattern)) return pattern;
  if (pattern.device === null && pattern.fn !== null) {
    const remedy = `write ${text.slice(from, device.at)}*.* for the whole bus`;
    return problem(fn.at, fn.digits.length, 'after * as the device, the function must be * too', remedy);
  }
  return { pattern, end: fn.at + fn.digits.length };
}
