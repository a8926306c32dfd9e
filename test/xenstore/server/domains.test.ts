/** What the recording of real daemons does not show: domain ids that are used again, and domains that come in by their file. */
import { beforeEach, expect, test } from 'vitest';
import {
  decodeStrings,
  encodePathAndValue,
  encodeStrings,
  type Message,
  MessageType,
} from '../../../src/xenstore/wire.ts';
import { type Peer, StoreSetting } from './store-setting.ts';

let setting: StoreSetting;
let dom0: Peer;

beforeEach(() => {
  setting = new StoreSetting();
  dom0 = setting.connect();
});

const strings = (message: Message | undefined): string =>
  decodeStrings(message?.payload ?? new Uint8Array()).join(' ');
const ask = (peer: Peer, type: number, ...texts: string[]): string =>
  strings(peer.ask(type, encodeStrings(...texts)).at(-1));
const write = (peer: Peer, path: string, value = '1'): string =>
  strings(peer.ask(MessageType.WRITE, encodePathAndValue(path, value)).at(-1));
/** The value, or the errno name. */
const read = (peer: Peer, path: string): string =>
  Buffer.from(peer.ask(MessageType.READ, encodeStrings(path)).at(-1)?.payload ?? [])
    .toString()
    .replace(/\0$/, '');
const chmod = (path: string, ...list: string[]): string => ask(dom0, MessageType.SET_PERMS, path, ...list);

/** What the watches of domain 0 say since they were asked last. */
const announced = (): string[] => dom0.messages().map(strings);

test('a domain is introduced when it appears, and released when it is gone', () => {
  ask(dom0, MessageType.WATCH, '@introduceDomain', 'in');
  ask(dom0, MessageType.WATCH, '@releaseDomain', 'out');
  setting.become(5, 'running');
  setting.become(5, 'running');
  expect(announced()).toEqual(['@introduceDomain in']);
  setting.become(5, 'shutdown');
  setting.become(5, 'shutdown');
  expect(announced()).toEqual(['@releaseDomain out']);
  expect(ask(dom0, MessageType.IS_DOMAIN_INTRODUCED, '5')).toBe('T');
  setting.become(5, undefined);
  setting.become(5, undefined);
  expect(announced()).toEqual(['@releaseDomain out']);
  expect([setting.introduced, setting.released]).toEqual([[5], [5]]);
});

test('one that is found shut down is introduced and its shutdown announced; one that is dying is not let in', () => {
  ask(dom0, MessageType.WATCH, '@introduceDomain', 'in');
  ask(dom0, MessageType.WATCH, '@releaseDomain', 'out');
  setting.become(5, 'shutdown');
  setting.become(6, 'dying');
  expect(announced()).toEqual(['@introduceDomain in', '@releaseDomain out']);
  expect(setting.introduced).toEqual([5]);
});

test('after RESUME the next shutdown is announced again', () => {
  setting.become(5, 'running');
  ask(dom0, MessageType.WATCH, '@releaseDomain', 'out');
  setting.become(5, 'shutdown');
  setting.domains.set(5, 'running');
  ask(dom0, MessageType.RESUME, '5');
  dom0.messages();
  setting.become(5, 'shutdown');
  expect(announced()).toEqual(['@releaseDomain out']);
});

test('one that a toolstack released stays out until it is introduced again, or gone and back', () => {
  setting.become(5, 'running');
  expect(ask(dom0, MessageType.RELEASE, '5')).toBe('OK');
  setting.become(5, 'running');
  expect(setting.store.isIntroduced(5)).toBe(false);
  expect(ask(dom0, MessageType.INTRODUCE, '5', '1', '1')).toBe('OK');
  expect(setting.store.isIntroduced(5)).toBe(true);
  ask(dom0, MessageType.RELEASE, '5');
  setting.become(5, undefined);
  setting.become(5, 'running');
  expect(setting.store.isIntroduced(5)).toBe(true);
});

test('its nodes go with it, and so do its watches and transactions', () => {
  const guest = setting.connect(5);
  write(dom0, '/local/domain/5', '');
  chmod('/local/domain/5', 'n5');
  write(guest, 'data/x');
  write(dom0, '/shared');
  chmod('/shared', 'n0', 'b5');
  write(guest, '/shared/of-5');
  ask(guest, MessageType.WATCH, '/shared', 'w');
  ask(guest, MessageType.TRANSACTION_START, '');
  setting.become(5, 'dying');
  expect(ask(dom0, MessageType.DIRECTORY, '/local/domain')).toBe('');
  expect(ask(dom0, MessageType.DIRECTORY, '/shared')).toBe('');
  guest.messages();
  write(dom0, '/shared', '2');
  expect(guest.ask(MessageType.READ, encodeStrings('/shared'))).toEqual([]);
  expect(guest.session.domain).toMatchObject({ watches: 0, transactions: 0 });
});

test('what was granted to a domain is not granted to the next of the same number, not even after a rewrite', () => {
  setting.become(5, 'running');
  write(dom0, '/secret', 'old');
  chmod('/secret', 'n0', 'r5');
  chmod('@releaseDomain', 'n0', 'r5');
  expect(read(setting.connect(5), '/secret')).toBe('old');
  setting.become(5, undefined);
  const next = setting.connect(5);
  ask(next, MessageType.WATCH, '@releaseDomain', 'w');
  expect(read(next, '/secret')).toBe('EACCES');
  write(dom0, '/secret', 'new');
  write(dom0, '/secret/below', 'new');
  expect(read(next, '/secret')).toBe('EACCES');
  expect(read(next, '/secret/below')).toBe('EACCES');
  setting.become(6, 'running');
  setting.become(6, undefined);
  expect(next.messages()).toEqual([]);
  chmod('/secret', 'n0', 'r5');
  expect(read(next, '/secret')).toBe('new');
});

test('a node can be given to a domain that exists but was not looked at yet, and is its own once it connects', () => {
  setting.domains.set(5, 'running');
  write(dom0, '/home5', '1');
  expect(chmod('/home5', 'n5')).toBe('OK');
  expect(read(setting.connect(5), '/home5')).toBe('1');
  expect(chmod('/home5', 'n77')).toBe('ENOENT');
});

test('who acts for a domain acts for no later one of the same number', () => {
  const stub = setting.connect(6);
  setting.become(5, 'running');
  expect(ask(dom0, MessageType.SET_TARGET, '6', '5')).toBe('OK');
  write(dom0, '/five', 'old');
  chmod('/five', 'n5');
  expect(read(stub, '/five')).toBe('old');
  setting.become(5, undefined);
  setting.become(5, 'running');
  write(dom0, '/five', 'new');
  chmod('/five', 'n5');
  expect(read(stub, '/five')).toBe('EACCES');
});

test('quotas count what all connections of a domain use together', () => {
  const [one, other] = [setting.connect(5), setting.connect(5)];
  for (let index = 0; index < 129; index++) {
    expect(ask(index % 2 ? one : other, MessageType.WATCH, '/x', String(index))).not.toBe('E2BIG');
  }
  expect(ask(one, MessageType.WATCH, '/x', 'more')).toBe('E2BIG');
  other.session.close();
  expect(ask(one, MessageType.WATCH, '/x', 'more')).not.toBe('E2BIG');
});

test('stop is domain 0’s to say', () => {
  const guest = setting.connect(5);
  expect(ask(guest, MessageType.CONTROL, 'stop')).toBe('EACCES');
  expect(setting.stops).toBe(0);
  expect(ask(dom0, MessageType.CONTROL, 'stop')).toBe('OK');
  expect(setting.stops).toBe(1);
});
