/**
 * What Debian's C xenstored 4.17.7 answered, byte for byte, replayed against the embedded one. The recording holds single
 * exchanges; who sent them, and what was done in between without being recorded, is told here.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  encodePathAndValue,
  encodeStrings,
  headerSize,
  maxReplyPayload,
  MessageParser,
  MessageType,
} from '../../../src/xenstore/wire.ts';
import { Peer, StoreSetting } from './store-setting.ts';

interface Exchange {
  readonly id: string;
  readonly server: 'C' | 'ox';
  readonly request?: string;
  readonly responses?: readonly string[];
  readonly events_on_other_conns?: readonly (readonly [number, string])[];
  readonly closed?: string | null;
}

const fixture = new URL('../../fixtures/xenstore-golden.json', import.meta.url);
const recorded = (JSON.parse(readFileSync(fixture, 'utf8')) as Exchange[]).filter(
  ({ server }) => server === 'C',
);
const unused = new Set(recorded.map(({ id }) => id));

let setting = new StoreSetting();
let peers = new Map<string, Peer>();

const fresh = (): void => {
  setting = new StoreSetting();
  peers = new Map();
};

/** The connection of this name; `dom5` and the like are that domain's. A name ending in `*` is a new one each time. */
function peer(name: string): Peer {
  let found = peers.get(name);
  if (!found) {
    found = setting.connect(Number(/^dom(\d+)/.exec(name)?.[1] ?? 0));
    if (!name.endsWith('*')) peers.set(name, found);
  }
  return found;
}

const split = (bytes: Uint8Array): Buffer[] => {
  const messages: Buffer[] = [];
  for (let rest = Buffer.from(bytes); rest.length > 0;) {
    const length = headerSize + rest.readUInt32LE(12);
    messages.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return messages;
};

/** Generations count other things in another program: the number in front of a part of a directory is left out. */
function masked(message: Buffer): string {
  if (message.readUInt32LE(0) !== MessageType.DIRECTORY_PART) return message.toString('hex');
  const afterGeneration = message.indexOf(0, headerSize);
  return `part ${message.subarray(4, 12).toString('hex')} ${message.subarray(afterGeneration).toString('hex')}`;
}

const maskedHex = (hex: string): string => masked(Buffer.from(hex, 'hex'));

/** Replays exchanges on one connection; the events that others get are expected on `others`, in the recording's numbering. */
function replay(on: string, ids: readonly string[], others: readonly string[] = []): void {
  for (const id of ids) {
    const exchange = recorded.find((candidate) => candidate.id === id);
    if (!exchange?.request || !exchange.responses) throw new Error(`${id} was not recorded`);
    unused.delete(id);
    const sender = peer(on);
    const got = split(sender.send(Buffer.from(exchange.request, 'hex'))).map(masked);
    expect({ id, got }).toEqual({ id, got: exchange.responses.map(maskedHex) });
    expect({ id, closed: sender.closed }).toEqual({ id, closed: Boolean(exchange.closed) });
    for (const [index, name] of others.entries()) {
      const events = (exchange.events_on_other_conns ?? []).filter(([to]) => to === index);
      const heard = split(peer(name).received()).map(masked);
      expect({ id, name, heard }).toEqual({ id, name, heard: events.map(([, hex]) => maskedHex(hex)) });
    }
  }
}

/** Does what the recording left out. */
function unrecorded(on: string, type: number, payload: Uint8Array, transactionId = 0): string {
  const messages = peer(on).ask(type, payload, transactionId);
  const reply = messages.find(({ type: kind }) => kind !== MessageType.WATCH_EVENT);
  return Buffer.from(reply?.payload ?? []).toString();
}

const write = (on: string, path: string, value = '1', transactionId = 0): string =>
  unrecorded(on, MessageType.WRITE, encodePathAndValue(path, value), transactionId);
const read = (on: string, path: string, transactionId = 0): string =>
  unrecorded(on, MessageType.READ, encodeStrings(path), transactionId);
const setPermissions = (on: string, path: string, ...list: string[]): string =>
  unrecorded(on, MessageType.SET_PERMS, encodeStrings(path, ...list));
const watch = (on: string, path: string, token: string): string =>
  unrecorded(on, MessageType.WATCH, encodeStrings(path, token));
const begin = (on: string, id: number): void =>
  expect(unrecorded(on, MessageType.TRANSACTION_START, encodeStrings(''))).toBe(`${id}\0`);

test('reading, writing and malformed requests', () => {
  fresh();
  replay('main', ['fresh-directory-root', 'read-root', 'getperms-root', 'read-missing', 'write-new-deep']);
  replay('main', ['read-value', 'read-implicit-parent', 'write-empty-value', 'read-empty-value']);
  replay('main', [
    'write-binary',
    'read-binary',
    'write-value-with-trailing-nul',
    'read-value-with-trailing-nul',
  ]);
  replay('main', ['write-no-nul-at-all']);
  replay('empty write', ['write-empty-payload', 'after-write-empty-payload']);
  replay('main', ['read-no-trailing-nul', 'read-two-strings', 'read-empty-path']);
  replay('empty read', ['read-empty-payload', 'after-read-empty-payload']);
});

test('directories and removal', () => {
  replay('main', ['mkdir-new', 'mkdir-existing-with-value', 'read-after-mkdir-existing', 'mkdir-root']);
  replay('main', ['directory-children', 'directory-leaf', 'directory-missing']);
  replay('main', ['rm-missing-child', 'rm-missing-parent', 'rm-subtree', 'read-after-rm']);
  replay('main', ['write-root', 'read-root-after-write', 'write-root-back']);
  replay('main', ['relative-write', 'relative-directory', 'relative-absolute-name']);
});

test('which paths are paths', () => {
  const kinds = [
    'space',
    'dot',
    'colon',
    'plus',
    'at',
    'underscore-dash',
    'percent',
    'utf8',
    'doubled-slash',
  ];
  kinds.push('trailing-slash', 'dotdot', 'at-start', 'slash-at');
  replay(
    'main',
    kinds.map((kind) => `write-path-${kind}`),
  );
  replay('main', ['read-trailing-slash', 'watch-path-bad-char']);
  const lengths = [255, 256, 1023, 1024, 2047, 2048, 2049, 3071, 3072, 3073];
  replay(
    'main',
    lengths.map((length) => `write-abs-path-len-${length}`),
  );
  replay('main', ['directory-root-names-over-4096']);
  replay(
    'main',
    [1007, 1008, 2047, 2048, 2049].map((length) => `write-rel-path-len-${length}`),
  );
});

test('sizes of messages, and types that are none', () => {
  replay('main', ['write-payload-4096', 'read-4084-byte-value']);
  replay('too long', ['payload-4097', 'after-payload-4097']);
  replay('one *', ['header-len-4097-no-body', 'header-len-0xffffffff']);
  replay('main', ['server-still-serves']);
  replay(
    'other *',
    [20, 23, 100, 65535, 15, 16].map((type) => `unknown-type-${type}`),
  );
});

test('permissions', () => {
  replay('main', ['getperms-default', 'getperms-missing', 'setperms-n0-r5', 'getperms-after-n0-r5']);
  replay('main', ['setperms-b0-w0', 'getperms-after-b0-w0', 'setperms-bad-letter', 'setperms-bad-number']);
  replay('main', ['setperms-no-perm', 'setperms-no-trailing-nul', 'setperms-missing-node']);
  replay('main', ['setperms-owner-nonexistent', 'getperms-after-owner-nonexistent']);
  replay('main', ['getperms-special', 'setperms-special', 'setperms-special-unknown']);
});

test('watches and their events', () => {
  replay('watcher', [
    'watch-existing',
    'watch-duplicate',
    'watch-same-path-other-token',
    'watch-missing-path',
  ]);
  replay('watcher', [
    'watch-empty-token',
    'watch-relative',
    'watch-three-strings-depth1',
    'watch-one-string',
  ]);
  replay('watcher', ['watch-no-trailing-nul', 'watch-releaseDomain', 'watch-introduceDomain']);
  replay('watcher', ['watch-unknown-special', 'watch-tx-id-ignored']);
  const events = [
    'write-child',
    'rewrite-same-value',
    'mkdir-existing',
    'setperms',
    'relative',
    'rm-child',
    'rm-missing',
  ];
  replay(
    'main',
    events.map((event) => `event-${event}`),
    ['watcher'],
  );
  replay('watcher', ['watch-deep']);
  replay('main', ['event-create-above-watch', 'event-rm-ancestor-of-missing'], ['watcher']);
  replay('main', ['event-create-under', 'event-rm-ancestor-of-existing'], ['watcher']);
  replay('watcher', [
    'event-own-write-order',
    'unwatch',
    'unwatch-missing',
    'unwatch-one-string',
    'reset-watches',
  ]);
  replay('reset *', ['reset-watches-empty-payload']);
  replay('main', ['event-after-reset'], ['watcher']);
});

test('transactions', () => {
  replay('a', ['tx-start']);
  replay('start *', ['tx-start-empty-payload']);
  replay('a', ['tx-nested-start', 'tx-write']);
  replay('b', ['tx-not-visible-outside']);
  replay('a', ['tx-visible-inside']);
  replay('b', ['tx-foreign-id']);
  replay('a', ['tx-unknown-id', 'tx-end-bad-arg', 'tx-end-commit', 'tx-end-again', 'tx-end-no-tx']);
  replay('b', ['tx-committed-visible']);
});

test('what conflicts with a transaction', () => {
  begin('a', 2);
  expect(read('a', '/golden/tx', 2)).toBe('1');
  write('a', '/golden/tx', '2', 2);
  write('b', '/golden/tx', '3');
  replay('a', ['tx-conflict-read-write']);
  begin('a', 3);
  write('a', '/golden/tx', '4', 3);
  write('b', '/golden/tx', '5');
  replay('a', ['tx-conflict-blind-write']);
  begin('a', 4);
  write('a', '/golden/tx-one', '1', 4);
  write('b', '/golden/tx-two');
  replay('a', ['tx-conflict-sibling-create']);
  begin('a', 5);
  write('a', '/golden/tx', '6', 5);
  write('b', '/elsewhere');
  replay('a', ['tx-no-conflict-unrelated']);
  begin('a', 6);
  read('a', '/golden/tx', 6);
  write('b', '/golden/tx', '7');
  replay('a', ['tx-conflict-read-only']);
  begin('a', 7);
  read('a', '/golden/tx', 7);
  write('b', '/golden/tx', '7');
  replay('a', ['tx-same-value-rewrite']);
  begin('a', 8);
  unrecorded('a', MessageType.DIRECTORY, encodeStrings('/golden'), 8);
  write('a', '/golden/tx-three', '1', 8);
  write('b', '/golden/tx-four');
  replay('a', ['tx-conflict-directory-read']);
});

test('ends of transactions', () => {
  watch('txe', '/golden/txe', 'txe');
  begin('a', 9);
  for (const name of ['1', '2', '1']) write('a', `/golden/txe/${name}`, 'x', 9);
  replay('a', ['tx-commit-events'], ['txe']);
  begin('a', 10);
  write('a', '/golden/never', '1', 10);
  replay('a', ['tx-abort'], ['txe']);
  expect(read('b', '/golden/never')).toBe('ENOENT\0');
  begin('a', 11);
  replay('a', ['tx-error-inside', 'tx-end-after-error']);
});

test('directories in parts', () => {
  for (let child = 0; child < 500; child++)
    write('main', `/large/child-${String(child).padStart(4, '0')}`, '');
  replay('main', ['directory-5500-bytes', 'directory-part-0', 'directory-part-4000', 'directory-part-end']);
  replay('main', [
    'directory-part-past-end',
    'directory-part-small-node',
    'directory-part-no-offset',
    'rm-large',
  ]);
});

test('introduction', () => {
  replay('main', ['getdomainpath-5', 'getdomainpath-junk', 'getdomainpath-70000', 'isintroduced-0']);
  replay('main', ['isintroduced-5-before', 'isintroduced-self-32752', 'introduce-too-few']);
  replay('main', ['introduce-no-such-domain', 'release-unknown', 'resume-unknown']);
  watch('lifecycle', '@introduceDomain', 'I');
  watch('lifecycle', '@releaseDomain', 'R');
  setting.domains.set(5, 'running');
  replay('main', ['introduce-5', 'introduce-5-again', 'isintroduced-5'], ['lifecycle']);
  expect(setting.introduced).toEqual([5]);
});

test('a guest and what it may do', () => {
  write('main', '/golden/tx', 'secret');
  replay('dom5', ['domU-read-own-missing', 'domU-write-own-home-missing', 'domU-directory-root']);
  write('main', '/local/domain/5', '');
  setPermissions('main', '/local/domain/5', 'n5');
  write('main', '/local/domain/5/device', '');
  write('main', '/golden/shared', 'for5');
  setPermissions('main', '/golden/shared', 'n0', 'r5');
  replay('dom5', [
    'domU-getperms-inherited',
    'domU-write-relative',
    'domU-read-relative',
    'domU-getperms-own',
  ]);
  replay('dom5', [
    'domU-read-dom0-node',
    'domU-read-dom0-missing',
    'domU-directory-dom0',
    'domU-write-dom0-node',
  ]);
  replay('dom5', ['domU-mkdir-elsewhere', 'domU-rm-dom0-node', 'domU-read-shared', 'domU-write-readonly']);
  replay('dom5', ['domU-setperms-not-owner', 'domU-setperms-own', 'domU-setperms-give-away']);
  replay('dom5', ['domU-setperms-5-entries', 'domU-setperms-6-entries', 'domU-getperms-after-6']);
  replay('dom5', ['domU-watch-own', 'domU-watch-foreign']);
  replay('main', ['domU-event-relative', 'domU-event-unreadable', 'domU-event-readable'], ['dom5']);
  replay('dom5', ['domU-watch-releaseDomain', 'domU-introduce', 'domU-release', 'domU-isintroduced']);
  replay('dom5', ['domU-settarget', 'domU-resume', 'domU-getdomainpath', 'domU-control']);
  replay('dom5', ['domU-value-2048', 'domU-value-3000']);
});

/** Counts how often a request succeeds before it is refused, and says how it is refused. */
function untilRefused(request: (attempt: number) => string): [number, string] {
  for (let attempt = 0; ; attempt++) {
    const answer = request(attempt);
    if (answer.startsWith('E')) return [attempt, answer];
  }
}

test('quotas of a guest', () => {
  expect(untilRefused((attempt) => watch('dom5', `data/${attempt}`, 'q'))).toEqual([126, 'E2BIG\0']);
  const start = (): string => unrecorded('dom5', MessageType.TRANSACTION_START, encodeStrings(''));
  expect(untilRefused(start)).toEqual([11, 'ENOSPC\0']);
  replay('dom5', ['domU-reset-watches']);

  const leaf = (attempt: number): string => write('dom5', `data/dir/n${attempt}`, '');
  expect(untilRefused(leaf)).toEqual([425, 'ENOSPC\0']);
  unrecorded('dom5', MessageType.RM, encodeStrings('data/dir'));

  for (let directory = 0; directory < 40; directory++) write('dom5', `data/d${directory}`, '');
  const spread = (attempt: number): string => write('dom5', `data/d${attempt % 40}/l${attempt}`, '');
  expect(untilRefused(spread)).toEqual([955, 'ENOSPC\0']);
  for (const id of ['watch', 'transaction', 'node']) unused.delete(`domU-${id}-quota`);
  unused.delete('domU-children-in-one-node');
});

test('a domain that acts for another', () => {
  setting.domains.set(6, 'running');
  replay('main', ['introduce-6'], ['lifecycle']);
  replay('dom6', ['domU6-write-5-before-target']);
  replay('main', ['settarget-6-5']);
  // The quota counts for whoever made the node: 5 is at its limit, 6 is not.
  replay('dom6', ['domU6-write-5-after-target', 'domU6-getperms']);
  replay('main', ['settarget-unknown']);
});

test('who hears of domains that go', () => {
  replay('main', ['setperms-releaseDomain-r5']);
  replay('dom5', ['domU5-watch-releaseDomain-allowed']);
  replay('dom6', ['domU6-watch-releaseDomain-via-target']);
  for (const domid of [7, 8, 9]) setting.become(domid, 'running');
  replay('dom9', ['domU9-watch-releaseDomain-not-allowed']);
  peer('lifecycle').received();
  replay('main', ['release-8'], ['lifecycle', 'dom5', 'dom6', 'dom9']);
  replay('main', ['release-8-again']);
  expect(setting.released).toEqual([8]);
});

/** The events that domain 0 gets when a domain changes its state. */
function announced(id: string, domid: number, state: 'shutdown' | 'dying' | undefined): void {
  const exchange = recorded.find((candidate) => candidate.id === id);
  unused.delete(id);
  setting.become(domid, state);
  expect(split(peer('lifecycle').received()).map(masked)).toEqual(exchange?.responses);
}

test('shutdown and death', () => {
  announced('virq-dom6-shutdown 0', 6, 'shutdown');
  replay('main', ['isintroduced-6-shutdown']);
  announced('virq-dom6-gone', 6, undefined);
  replay('main', ['isintroduced-6-gone']);
  announced('virq-dom5-dying', 5, 'dying');
  replay('main', ['isintroduced-5-dying', 'nodes-of-dead-domain', 'getperms-of-dead-domains-node']);
  replay('main', ['getperms-naming-dead-domain']);
  replay('main', ['release-7'], ['lifecycle']);
  expect(setting.released).toEqual([8, 6, 5, 7]);
});

test('messages in pieces, and several at a time', () => {
  const first = Buffer.from('0200000001000000000000000e0000002f67', 'hex');
  peer('pieces').send(first.subarray(0, 5));
  expect(peer('pieces').send(first.subarray(5))).toHaveLength(0);
  replay('pieces', ['request-in-three-pieces']);
  replay('pipelined', ['pipelined-3-reads']);
});

test('commands to the daemon', () => {
  replay('main', ['control-print', 'control-unknown', 'control-check']);
  expect(unrecorded('main', MessageType.CONTROL, encodeStrings('help'))).toContain('check');
  // Its text lists commands that only that daemon has.
  unused.delete('control-help');
});

test('what would end the store', () => {
  fresh();
  write('main', '/golden', '');
  setting.domains.set(5, 'running');
  setting.domains.set(6, 'running');
  replay('main', ['rm-root', 'directory-root-after-rm-root', 'introduce-after-rm-root']);
  replay('main', ['release-dom0', 'directory-root-after-release-dom0', 'introduce-after-release-dom0']);
});

test('nothing of the recording was left out but the ring page, which a socket has not', () => {
  expect([...unused].filter((id) => !id.startsWith('ring-'))).toEqual([]);
});

test('the recording holds whole messages', () => {
  for (const { responses = [] } of recorded) {
    for (const hex of responses) {
      expect([...new MessageParser(maxReplyPayload).push(Buffer.from(hex, 'hex'))]).toHaveLength(1);
    }
  }
});
