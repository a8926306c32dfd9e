import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeStrings,
  decodeText,
  encodePathAndValue,
  encodeStrings,
  type Message,
  MessageType,
} from '../../../src/xenstore/wire.ts';
import { type NaiveEvent, type NaiveRequest, NaiveStore } from './naive-store.ts';
import { type Peer, StoreSetting } from './store-setting.ts';

const domids = [0, 0, 5, 6];

const paths = ['/', '/t', '/t/a', '/t/a/b', '/t/a/b/c', '/t/d', '/u', '/u/v/w', '/g', '/g/x', '/g/x/y'];
const lists = [
  ['n0'],
  ['r0'],
  ['b0'],
  ['n5'],
  ['n6'],
  ['n0', 'r5'],
  ['n0', 'b5', 'w6'],
  ['n5', 'r6'],
  ['r6', 'n5'],
];

const request: fc.Arbitrary<NaiveRequest> = fc.record({
  client: fc.nat(domids.length - 1),
  kind: fc.constantFrom<NaiveRequest['kind'][]>(
    ...(['read', 'write', 'mkdir', 'rm', 'list', 'perms', 'chmod', 'watch', 'unwatch'] as const),
    ...(['begin', 'commit', 'abort', 'write', 'rm', 'commit'] as const),
  ),
  path: fc.constantFrom(...paths),
  value: fc.constantFrom('', '1', '2'),
  permissions: fc.constantFrom(...lists),
  inTransaction: fc.boolean(),
});

/** The real store, asked the way the naive one is. */
class RealStore {
  readonly #peers: Peer[];
  readonly #transactions = new Map<number, number>();

  constructor() {
    const setting = new StoreSetting();
    this.#peers = domids.map((domid) => setting.connect(domid));
  }

  request(asked: NaiveRequest): { reply: string; events: NaiveEvent[] } {
    const { client, kind } = asked;
    const ending = kind === 'commit' || kind === 'abort';
    const open = this.#transactions.get(client) ?? 0;
    const transactionId = ending || asked.inTransaction ? open : 0;
    const [type, payload] = wireForm(asked);
    const own = this.#peers[client]?.ask(type, payload, kind === 'begin' ? 0 : transactionId) ?? [];
    const reply = own.find((message) => message.type !== MessageType.WATCH_EVENT);
    if (kind === 'begin') this.#transactions.set(client, Number(textOf(reply)));
    if (ending) this.#transactions.delete(client);
    const events = this.#peers.flatMap((peer, index) =>
      (index === client ? own : peer.messages())
        .filter((message) => message.type === MessageType.WATCH_EVENT)
        .map((message) => eventOf(index, message)),
    );
    return { reply: replyOf(kind, reply), events };
  }
}

const textOf = (message: Message | undefined): string =>
  decodeText(message?.payload ?? new Uint8Array()).replace(/\0$/, '');

function replyOf(kind: NaiveRequest['kind'], message: Message | undefined): string {
  if (message?.type === MessageType.ERROR) return textOf(message);
  if (kind === 'read') return `=${textOf(message)}`;
  if (kind === 'list' || kind === 'perms')
    return decodeStrings(message?.payload ?? new Uint8Array()).join(' ');
  return kind === 'begin' ? 'OK' : textOf(message);
}

function eventOf(client: number, message: Message): NaiveEvent {
  const [path = '', token = ''] = decodeStrings(message.payload);
  return { client, path, token };
}

function wireForm({ kind, path, value, permissions }: NaiveRequest): [number, Uint8Array] {
  switch (kind) {
    case 'read':
      return [MessageType.READ, encodeStrings(path)];
    case 'write':
      return [MessageType.WRITE, encodePathAndValue(path, value)];
    case 'mkdir':
      return [MessageType.MKDIR, encodeStrings(path)];
    case 'rm':
      return [MessageType.RM, encodeStrings(path)];
    case 'list':
      return [MessageType.DIRECTORY, encodeStrings(path)];
    case 'perms':
      return [MessageType.GET_PERMS, encodeStrings(path)];
    case 'chmod':
      return [MessageType.SET_PERMS, encodeStrings(path, ...permissions)];
    case 'watch':
      return [MessageType.WATCH, encodeStrings(path, value)];
    case 'unwatch':
      return [MessageType.UNWATCH, encodeStrings(path, value)];
    case 'begin':
      return [MessageType.TRANSACTION_START, encodeStrings('')];
    case 'commit':
      return [MessageType.TRANSACTION_END, encodeStrings('T')];
    case 'abort':
      return [MessageType.TRANSACTION_END, encodeStrings('F')];
  }
}

/** What each client hears: its events in their order, repetitions in a row left out, as they are merged while they wait. */
function heard(events: readonly NaiveEvent[]): string[][] {
  return domids.map((_, client) => [
    ...new Set(
      events.filter((event) => event.client === client).map(({ path, token }) => `${path} ${token}`),
    ),
  ]);
}

test('any sequence of requests has the outcome that a naive store has', () => {
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 80, size: 'max' }), (requests) => {
      const naive = new NaiveStore(domids);
      const real = new RealStore();
      for (const each of requests) {
        const expected = naive.request(each);
        const got = real.request(each);
        expect({ each, reply: got.reply }).toEqual({ each, reply: expected.reply });
        expect({ each, heard: heard(got.events) }).toEqual({ each, heard: heard(expected.events) });
      }
    }),
    { numRuns: 400 },
  );
});
