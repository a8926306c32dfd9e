import { encodePathAndValue, encodeStrings, MessageType } from '../../src/xenstore/wire.ts';

/** Small, seeded, good enough to pick requests with (mulberry32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export interface RandomRequest {
  readonly type: number;
  readonly payload: Buffer;
  readonly inTransaction: boolean;
}

const shared = ['/t', '/t/a', '/t/a/b', '/t/a/b/c', '/t/b', '/t/c/d'];
const homes = ['', '/x', '/x/y', '/data', '/data/z'].flatMap((tail) =>
  [5, 6].map((id) => `/local/domain/${id}${tail}`),
);
const relative = ['x', 'data', 'x/y', 'q'];
const odd = ['/', '', '/t/', '//t', '/t//a', '/t/a b', '@releaseDomain', '/t/a.b', '/local', '/local/domain'];
const lists = [
  'n0',
  'r0',
  'n5',
  'n6',
  'b5',
  'n0 r5',
  'n0 b5',
  'n5 r6',
  'n6 b5',
  'n0 r5 w6',
  'n77',
  'n0 r77',
  'x5',
  'n',
  '',
];

/** A request as a client of one of the domains 0, 5 and 6 might send it: mostly sensible, sometimes not. */
export function randomRequest(random: (below: number) => number, privileged: boolean): RandomRequest {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const path = pick([shared, shared, shared, homes, homes, relative, pick([odd, shared])]);
  const name = pick(path);
  // C xenstored answers a guest's SET_PERMS on a special path with whatever its last failure was, and dies when that was none.
  const owned = name.startsWith('@') && !privileged ? 'x' : name;
  const inTransaction = random(3) === 0;
  const as = (type: number, payload: Buffer): RandomRequest => ({ type, payload, inTransaction });
  const kinds: readonly (() => RandomRequest)[] = [
    () => as(MessageType.READ, encodeStrings(name)),
    () => as(MessageType.WRITE, encodePathAndValue(name, 'v'.repeat(pick([0, 1, 5, 1900, 2100])))),
    () => as(MessageType.WRITE, encodePathAndValue(name, String(random(3)))),
    () => as(MessageType.MKDIR, encodeStrings(name)),
    () => as(MessageType.RM, encodeStrings(name)),
    () => as(MessageType.DIRECTORY, encodeStrings(name)),
    () => as(MessageType.GET_PERMS, encodeStrings(name)),
    () => as(MessageType.SET_PERMS, encodeStrings(owned, ...pick(lists).split(' '))),
    () => as(MessageType.SET_PERMS, encodeStrings(owned, ...pick(lists).split(' '))),
    () => as(MessageType.WATCH, encodeStrings(name, pick(['one', 'two', '']))),
    () => as(MessageType.UNWATCH, encodeStrings(name, pick(['one', 'two', '']))),
    () => ({ ...as(MessageType.TRANSACTION_START, encodeStrings('')), inTransaction: random(8) === 0 }),
    () => as(MessageType.TRANSACTION_END, encodeStrings(pick(['T', 'T', 'T', 'F', 'X']))),
    () => as(MessageType.DIRECTORY_PART, encodeStrings(name, pick(['0', '2', '100', '-1', 'x']))),
    () => as(MessageType.GET_DOMAIN_PATH, encodeStrings(pick(['5', '-1', '', 'x', ' 7']))),
    () => malformed(pick([4, 5, 7, 10, 11, 14, 22]), name),
    () => as(MessageType.IS_DOMAIN_INTRODUCED, encodeStrings(pick(['5', '0', '77', 'x', '-3']))),
    () =>
      as(
        pick([8, 9, 18, 19]),
        encodeStrings(pick(['77', 'x', '0']), pick(['1', '5', '77']), pick(['0', '1', 'x'])),
      ),
    () =>
      privileged
        ? as(MessageType.RESET_WATCHES, encodeStrings(''))
        : as(MessageType.READ, encodeStrings(name)),
  ];
  const malformed = (type: number, text: string): RandomRequest =>
    as(
      type,
      pick([
        Buffer.from(text),
        Buffer.from(`${text}\0more\0`),
        Buffer.from(`${text}\0more`),
        Buffer.alloc(0),
      ]),
    );
  return pick(kinds)();
}
