/**
 * The specification of a device to give to a guest, as in `pci = [ '03:00.0,permissive=1' ]` of an xl.cfg:
 *
 *     spec   = [ address [ "@" vslot ] [ "," ] ] { key "=" value [ "," ] }
 *     vslot  = slot wanted on the guest's bus, hexadecimal, 0 to 1f; 0 = any
 *     key    = bdf | name | vslot | permissive | msitranslate | seize | power_mgmt | rdm_policy
 *
 * What xl takes is taken, and addresses in the spelling of other programs besides. Where xl quietly does something else
 * than what is written (`permissive=yes` is off, a second address replaces the first, numbers wrap at 32 bits), this is
 * a mistake here: a specification decides what a guest gets hold of.
 */
import { scanOtherSpelling, type BridgePath } from './address-spellings.ts';
import { isProblem, sbdfPattern, scanAddress, type AddressPattern } from './address-text.ts';
import { nearest } from './nearest.ts';
import type { PciOptions } from './pci-options.ts';
import { problem, problemError, shifted, type Problem } from './problem.ts';

/** Which device is meant. A pattern here has a device number; its function may be `*`, all functions of the slot. */
export type SpecTarget =
  | { readonly kind: 'address'; readonly pattern: AddressPattern }
  | { readonly kind: 'path'; readonly path: BridgePath }
  | { readonly kind: 'name'; readonly name: string };

export interface PciSpec {
  readonly text: string;
  readonly target: SpecTarget;
  /** Slot wanted on the guest's bus, 0 to 31; 0 means any. */
  readonly vslot: number;
  /** The options that are written; the others take the guest's defaults. */
  readonly options: Partial<PciOptions>;
}

export type SpecResult =
  | { readonly ok: true; readonly spec: PciSpec; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A stretch of the text. */
interface Piece {
  readonly at: number;
  readonly text: string;
}

interface Draft {
  target?: SpecTarget;
  vslot: number;
  readonly options: { -readonly [Name in keyof PciOptions]?: PciOptions[Name] };
}

/** Sets what an option says, or tells what is wrong with its value. `warn` is for what is taken but should be changed. */
type Setter = (draft: Draft, value: Piece, warn: (warning: Problem) => void) => Problem | undefined;

type Flag = 'permissive' | 'msitranslate' | 'seize' | 'powerManagement';

const flag =
  (key: string, option: Flag): Setter =>
  (draft, { at, text }, warn) => {
    const remedy = `write ${key}=1 or ${key}=0`;
    // C's atoi: xl reads the number that the value begins with and takes everything else for 0.
    const [, number = '', rest = ''] = /^(\d*)(.*)$/s.exec(text) ?? [];
    const on = /[1-9]/.test(number);
    if (number === '' || (rest !== '' && !on)) {
      return problem(at, text.length, `'${text}' is no value of ${key}; xl would take it for off`, remedy);
    }
    if (rest !== '')
      warn(problem(at + number.length, rest.length, `'${rest}' after the number counts for nothing`, remedy));
    draft.options[option] = on;
    return undefined;
  };

const setVslot: Setter = (draft, { at, text }) => {
  const what = text === '' ? 'the slot is missing' : `there is no slot '${text}'`;
  const range = 'slots of the guest are hexadecimal, 1 to 1f, or 0 for any';
  if (/^[0-9a-f]+$/i.test(text) && Number.parseInt(text, 16) <= 0x1f) {
    draft.vslot = Number.parseInt(text, 16);
    return undefined;
  }
  const decimal = /^\d+$/.test(text) && Number(text) <= 0x1f ? Number(text).toString(16) : undefined;
  return problem(
    at,
    text.length,
    what,
    decimal ? `${range}: write ${decimal} for the decimal ${text}` : range,
  );
};

/** Reads an address and tells where in the piece it ends. */
function scanTarget({ at, text }: Piece): { target: SpecTarget; end: number } | Problem {
  const found = scanOtherSpelling(text, 0) ?? scanAddress(text, 0, text.length, 'function');
  if (isProblem(found)) return shifted(found, at);
  if ('path' in found) return { target: { kind: 'path', path: found.path }, end: found.end };
  const pattern = 'sbdf' in found ? sbdfPattern(found.sbdf) : found.pattern;
  return { target: { kind: 'address', pattern }, end: found.end };
}

function tailProblem(at: number, tail: string): Problem {
  if (/^\s/.test(tail)) {
    return problem(
      at,
      tail.length - tail.trimStart().length,
      'a blank cannot stand here',
      'take the blank out',
    );
  }
  if (tail.startsWith(';')) return problem(at, 1, `';' cannot stand here`, 'separate options with commas');
  return problem(
    at,
    tail.length,
    `'${tail}' after the address means nothing`,
    'end the address with its function number',
  );
}

const setAddress: Setter = (draft, { at, text }) => {
  const scanned = scanTarget({ at, text });
  if (isProblem(scanned)) return scanned;
  const tail = text.slice(scanned.end);
  if (tail.startsWith('@')) {
    return problem(
      at + scanned.end,
      tail.length,
      `'@' cannot follow bdf=`,
      `write vslot=${tail.slice(1)} as an option`,
    );
  }
  if (tail !== '') return tailProblem(at + scanned.end, tail);
  draft.target = scanned.target;
  return undefined;
};

const setters: Readonly<Record<string, Setter>> = {
  bdf: setAddress,
  name: (draft, { at, text }) => {
    if (text === '')
      return problem(at, 0, 'the name is empty', 'write name= and the name given when the device was hidden');
    draft.target = { kind: 'name', name: text };
    return undefined;
  },
  vslot: setVslot,
  permissive: flag('permissive', 'permissive'),
  msitranslate: flag('msitranslate', 'msitranslate'),
  seize: flag('seize', 'seize'),
  power_mgmt: flag('power_mgmt', 'powerManagement'),
  rdm_policy: (draft, { at, text }) => {
    const policy = text.toLowerCase();
    if (policy !== 'strict' && policy !== 'relaxed') {
      return problem(
        at,
        text.length,
        `'${text}' is no rdm_policy`,
        'write rdm_policy=strict or rdm_policy=relaxed',
      );
    }
    draft.options.rdmPolicy = policy;
    return undefined;
  },
};

const keys = Object.keys(setters);

/** Why a key is none. */
function unknownKey({ at, text: key }: Piece): Problem {
  const blanks = key.length - key.trimStart().length;
  if (blanks > 0) return problem(at, blanks, 'a blank cannot stand here', 'take the blank out');
  if (key === '')
    return problem(
      at,
      0,
      `the name of the option is missing in front of '='`,
      `options are ${keys.join(', ')}`,
    );
  const meant = nearest(key, keys);
  const remedy = meant ? `write ${meant}=` : `options are ${keys.join(', ')}`;
  return problem(at, key.length, `there is no option '${key}'`, remedy);
}

/** The text between commas. A comma at the very end is allowed and begins nothing. */
function splitAtCommas({ at, text }: Piece): readonly Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  while (from < text.length) {
    const comma = text.indexOf(',', from);
    const end = comma < 0 ? text.length : comma;
    pieces.push({ at: at + from, text: text.slice(from, end) });
    from = end + 1;
  }
  return pieces;
}

class SpecReader {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly draft: Draft = { vslot: 0, options: {} };
  /** The keys seen; the positional address counts as `bdf`, `@slot` as `vslot`. */
  readonly #seen = new Set<string>();

  /** `address[@vslot]` in front of the options. */
  readPositional({ at, text }: Piece): void {
    const scanned = scanTarget({ at, text });
    if (isProblem(scanned)) {
      const isName = /^[a-z][\w-]*$/i.test(text) && !/^pci_/i.test(text);
      const remedy = keys.includes(text)
        ? `write ${text}=1`
        : `write name=${text} if that is the device's name`;
      this.problems.push(
        isName ? problem(at, text.length, `'${text}' is not a PCI address`, remedy) : scanned,
      );
      return;
    }
    this.#seen.add('bdf');
    this.draft.target = scanned.target;
    const tail = text.slice(scanned.end);
    if (tail.startsWith('@'))
      this.#set('vslot', { at: at + scanned.end + 1, text: tail.slice(1) }, at + scanned.end);
    else if (tail !== '') this.problems.push(tailProblem(at + scanned.end, tail));
  }

  readOption({ at, text }: Piece): void {
    if (text === '') {
      this.problems.push(problem(at, 0, 'there is nothing between the commas', 'take one comma out'));
      return;
    }
    const equals = text.indexOf('=');
    const key = equals < 0 ? text : text.slice(0, equals);
    if (!Object.hasOwn(setters, key)) this.problems.push(unknownKey({ at, text: key }));
    else if (equals < 0)
      this.problems.push(problem(at + text.length, 0, `${key} has no value`, `write ${key}=1`));
    else this.#set(key, { at: at + equals + 1, text: text.slice(equals + 1) }, at);
  }

  #set(key: string, value: Piece, at: number): void {
    const length = value.at + value.text.length - at;
    // Only a name may stand twice: with a second address nobody can tell which hardware was meant.
    const named = this.#seen.has('bdf') || (key === 'bdf' && this.#seen.has('name'));
    if (named && (key === 'bdf' || key === 'name')) {
      this.problems.push(
        problem(at, length, 'the device is named a second time', 'name it once, by address or by name'),
      );
      return;
    }
    if (this.#seen.has(key)) {
      this.warnings.push(problem(at, length, `${key} is given twice; the last one counts`, 'give it once'));
    }
    this.#seen.add(key);
    const found = setters[key]?.(this.draft, value, (warning) => this.warnings.push(warning));
    if (found) this.problems.push(found);
  }
}

/** Reads one specification; every mistake in it is told with its place. Never throws. */
export function parseSpec(text: string): SpecResult {
  const reader = new SpecReader();
  const [first, ...others] = splitAtCommas({ at: 0, text });
  if (!first) {
    const empty = problem(0, 0, 'the specification is empty', 'write an address as in 03:00.0');
    return { ok: false, problems: [empty] };
  }
  if (/^\w*=/.test(first.text)) reader.readOption(first);
  else reader.readPositional(first);
  for (const option of others) reader.readOption(option);

  const { draft, problems, warnings } = reader;
  if (!draft.target && problems.length === 0) {
    problems.push(
      problem(0, 0, 'no device is named', 'begin with an address as in 03:00.0, or give bdf= or name='),
    );
  }
  if (!draft.target || problems.length > 0) return { ok: false, problems };
  return {
    ok: true,
    spec: { text, target: draft.target, vslot: draft.vslot, options: draft.options },
    warnings,
  };
}

/** Reads one specification. Throws BAD-SPEC with the first mistake. */
export function specOf(text: string): PciSpec {
  const result = parseSpec(text);
  if (result.ok) return result.spec;
  const [first = problem(0, 0, 'the specification cannot be read', 'write an address as in 03:00.0')] =
    result.problems;
  throw problemError(text, first);
}
