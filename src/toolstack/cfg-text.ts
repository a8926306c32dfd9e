/**
 * The syntax of an xl.cfg: a sequence of `name = value` and `name += value`, each ended by a newline or `;`. A value is a
 * number, a string in single or double quotes with C's backslash escapes, or a list in brackets, where newlines and a
 * trailing comma do not matter. `#` begins a comment.
 */
import { problem, type Problem } from './problem.ts';

interface Placed {
  readonly at: number;
  readonly length: number;
}

export type CfgValue = CfgNumber | CfgString | CfgList;

export interface CfgNumber extends Placed {
  readonly kind: 'number';
  readonly value: number;
}

export interface CfgString extends Placed {
  readonly kind: 'string';
  readonly value: string;
  /** Place in the file of each character of the value, and of the closing quote: escapes are longer than what they mean. */
  readonly places: readonly number[];
}

export interface CfgList extends Placed {
  readonly kind: 'list';
  readonly items: readonly CfgValue[];
}

export interface CfgText {
  /** The value that each name has at the end of the file. */
  readonly settings: ReadonlyMap<string, CfgValue>;
  readonly problems: readonly Problem[];
}

interface Token extends Placed {
  readonly kind: string;
  readonly text: string;
}

const token = new RegExp(
  [
    /(?<skip>[ \t\r]+|#[^\n]*)/,
    /(?<name>[A-Za-z_]\w*)/,
    /(?<number>0[xX][\dA-Fa-f]+|\d+)/,
    /(?<string>'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")/,
    /(?<open>['"][^\n]*)/,
    /(?<mark>\+=|[^])/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'g',
);

/** Newlines and marks are tokens of their own kind: `\n [ ] , = += ;`. The last one has the kind `end`. */
function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const { 0: written, index, groups = {} } of text.matchAll(token)) {
    if (groups['skip'] !== undefined) continue;
    const kind = ['name', 'number', 'string', 'open'].find((each) => groups[each] !== undefined) ?? written;
    tokens.push({ kind, at: index, length: written.length, text: written });
  }
  tokens.push({ kind: 'end', at: text.length, length: 0, text: '' });
  return tokens;
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unquote({ at, length, text }: Token): CfgString {
  let value = '';
  const places: number[] = [];
  for (const { 0: written, index } of text
    .slice(1, -1)
    .matchAll(/\\x[\dA-Fa-f]{1,2}|\\[0-7]{1,3}|\\[^]|[^]/g)) {
    const escaped = written.slice(1);
    places.push(at + 1 + index);
    if (written.length === 1) value += written;
    else if (/^x./.test(escaped)) value += String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    else if (/^[0-7]/.test(escaped)) value += String.fromCharCode(Number.parseInt(escaped, 8) & 0xff);
    else value += escapes[escaped] ?? escaped;
  }
  return { kind: 'string', value, places: [...places, at + length - 1], at, length };
}

class CfgReader {
  readonly settings = new Map<string, CfgValue>();
  readonly problems: Problem[] = [];
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  read(): CfgText {
    while (this.#look().kind !== 'end') {
      const wrong = this.#skip('\n', ';') ? undefined : this.#statement();
      if (!wrong) continue;
      this.problems.push(wrong);
      while (!['\n', 'end'].includes(this.#look().kind)) this.#next += 1;
    }
    return { settings: this.settings, problems: this.problems };
  }

  #look(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', at: 0, length: 0, text: '' };
  }

  #skip(...kinds: readonly string[]): boolean {
    if (!kinds.includes(this.#look().kind)) return false;
    this.#next += 1;
    return true;
  }

  #unexpected(wanted: string): Problem {
    const { kind, at, length, text } = this.#look();
    if (kind === 'open')
      return problem(at, length, 'the string has no closing quote', `end it with ${text.charAt(0)}`);
    const found = kind === 'end' ? 'the file ends' : kind === '\n' ? 'the line ends' : `'${text}' stands`;
    return problem(
      at,
      kind === '\n' ? 0 : length,
      `${found} where ${wanted} should be`,
      'a setting is name = value',
    );
  }

  #statement(): Problem | undefined {
    const name = this.#look();
    if (!this.#skip('name')) return this.#unexpected('the name of a setting');
    const appends = this.#look().kind === '+=';
    if (!this.#skip('=', '+=')) return this.#unexpected(`'='`);
    const value = this.#value();
    if ('what' in value) return value;
    if (!['\n', ';', 'end'].includes(this.#look().kind)) return this.#unexpected('the end of the line');
    return this.#set(name, value, appends);
  }

  #set({ text: name, at, length }: Token, value: CfgValue, appends: boolean): Problem | undefined {
    const old = appends ? this.settings.get(name) : undefined;
    if (!old) this.settings.set(name, value);
    else if (old.kind === 'list' && value.kind === 'list') {
      this.settings.set(name, { ...value, items: [...old.items, ...value.items] });
    } else if (old.kind === 'string' && value.kind === 'string') {
      const places = [...old.places.slice(0, -1), ...value.places];
      this.settings.set(name, { ...value, value: old.value + value.value, places });
    } else
      return problem(
        at,
        length,
        `+= joins lists, or strings; ${name} is neither twice`,
        `write ${name} = once`,
      );
    return undefined;
  }

  #value(): CfgValue | Problem {
    const first = this.#look();
    if (this.#skip('number')) return { ...first, kind: 'number', value: Number(first.text) };
    if (this.#skip('string')) return unquote(first);
    if (!this.#skip('[')) return this.#unexpected('a value');
    const items: CfgValue[] = [];
    while (this.#skip('\n'));
    while (!this.#skip(']')) {
      const item = this.#value();
      if ('what' in item) return item;
      items.push(item);
      while (this.#skip('\n'));
      if (!this.#skip(',') && this.#look().kind !== ']') return this.#unexpected(`',' or ']'`);
      while (this.#skip('\n'));
    }
    const { at: last } = this.#tokens[this.#next - 1] ?? first;
    return { kind: 'list', items, at: first.at, length: last + 1 - first.at };
  }
}

/** Reads a whole file. A statement that is wrong is told and skipped. Never throws. */
export const parseCfgText = (text: string): CfgText => new CfgReader(text).read();
