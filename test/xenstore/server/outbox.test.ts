import { describe, expect, test } from 'vitest';
import { Outbox } from '../../../src/xenstore/server/outbox.ts';
import {
  decodeStrings,
  encodePathAndValue,
  encodeStrings,
  maxReplyPayload,
  MessageParser,
  MessageType,
} from '../../../src/xenstore/wire.ts';
import { StoreSetting } from './store-setting.ts';

const contents = (bytes: Uint8Array | undefined): string[] =>
  [...new MessageParser(maxReplyPayload).push(bytes ?? new Uint8Array())].map(({ payload }) =>
    decodeStrings(payload).join(' '),
  );

describe('an outbox', () => {
  test('keeps replies and events in order and gives whole messages', () => {
    const outbox = new Outbox(1000);
    outbox.event('/a', 't');
    outbox.reply(Buffer.from('0b0000000100000000000000030000004f4b00', 'hex'));
    outbox.event('/b', 't');
    expect(contents(outbox.take(1))).toEqual(['/a t']);
    expect(contents(outbox.take(Infinity))).toEqual(['OK', '/b t']);
    expect(outbox.take(1)).toBeUndefined();
  });

  test('merges an event with one that waits, and not with one that has been taken', () => {
    const outbox = new Outbox(1000);
    for (const token of ['t', 'u', 't']) outbox.event('/a', token);
    expect(contents(outbox.take(Infinity))).toEqual(['/a t', '/a u']);
    outbox.event('/a', 't');
    expect(contents(outbox.take(Infinity))).toEqual(['/a t']);
  });

  test('merges no special events: each is a domain', () => {
    const outbox = new Outbox(1000);
    for (let round = 0; round < 3; round++) outbox.event('@releaseDomain', 't');
    expect(contents(outbox.take(Infinity))).toHaveLength(3);
  });

  test('drops an event that fits no message', () => {
    const outbox = new Outbox(100_000);
    outbox.event('/a', 't'.repeat(4092));
    expect(outbox.empty).toBe(false);
    outbox.take(Infinity);
    outbox.event('/a', 't'.repeat(4093));
    expect(outbox.empty).toBe(true);
  });

  test('says once that it overflows, and takes no further events', () => {
    const outbox = new Outbox(200);
    let overflows = 0;
    outbox.overflowed = () => overflows++;
    for (let path = 0; path < 1000; path++) outbox.event(`/long/path/number/${path}`, 'token');
    expect(overflows).toBe(1);
    expect(outbox.take(Infinity)?.length).toBeLessThanOrEqual(200);
    outbox.event('/a', 't');
    expect(outbox.empty).toBe(true);
  });

  test('announces the first message only', () => {
    const outbox = new Outbox(1000);
    let fills = 0;
    outbox.filled = () => fills++;
    outbox.event('/a', 't');
    outbox.event('/b', 't');
    expect(fills).toBe(1);
    outbox.take(Infinity);
    outbox.event('/b', 't');
    expect(fills).toBe(2);
  });
});

test('a key that flaps a million times costs a reader that is asleep one event', () => {
  const setting = new StoreSetting();
  const [writer, reader] = [setting.connect(), setting.connect()];
  reader.ask(MessageType.WATCH, encodeStrings('/flap', 'token'));
  const payload = encodePathAndValue('/flap/key', '1');
  for (let round = 0; round < 1_000_000; round++) {
    writer.session.receive({ type: MessageType.WRITE, requestId: round, transactionId: 0, payload });
    if (round % 1000 === 0) writer.session.outbox.take(Infinity);
  }
  expect(contents(reader.received())).toEqual(['/flap/key token']);
});
