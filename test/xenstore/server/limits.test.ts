/** What one domain may have xenstored do and keep for it. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { quotas } from '../../../src/xenstore/server/quotas.ts';
import { SocketSession } from '../../../src/xenstore/server/socket-session.ts';
import { Turns } from '../../../src/xenstore/server/turns.ts';
import {
  decodeStrings,
  encodeMessage,
  encodeStrings,
  headerSize,
  MessageType,
} from '../../../src/xenstore/wire.ts';
import { StoreSetting } from './store-setting.ts';

test('a transaction of a guest looks at so many nodes, and cannot be committed when it wanted more', () => {
  const setting = new StoreSetting();
  const guest = setting.connect(5);
  const [begun] = guest.ask(MessageType.TRANSACTION_START, Uint8Array.of(0));
  const id = Number(decodeStrings(begun?.payload ?? Uint8Array.of())[0]);
  const look = (index: number): string | undefined => {
    const [reply] = guest.ask(MessageType.READ, encodeStrings(`/tool/xenstored/n${index}`), id);
    return decodeStrings(reply?.payload ?? Uint8Array.of())[0];
  };
  const answers = Array.from({ length: quotas.transactionNodes + 10 }, (_, index) => look(index));
  expect(answers[0]).not.toBe('ENOSPC');
  expect(answers.at(-1)).toBe('ENOSPC');
  const [ended] = guest.ask(MessageType.TRANSACTION_END, encodeStrings('T'), id);
  expect(decodeStrings(ended?.payload ?? Uint8Array.of())).toEqual(['ENOMEM']);
});

test('a guest begins so many transactions, however many connections it has, and no more until one ends', () => {
  const setting = new StoreSetting();
  const guests = [setting.connect(5), setting.connect(5)] as const;
  const begin = (index: number): string => {
    const [reply] = guests[index % 2 === 0 ? 0 : 1].ask(MessageType.TRANSACTION_START, Uint8Array.of(0));
    return decodeStrings(reply?.payload ?? Uint8Array.of())[0] ?? '';
  };
  const begun = Array.from({ length: quotas.transactions + 1 }, (_, index) => begin(index));
  expect(begun.every((id) => /^\d+$/.test(id))).toBe(true);
  expect([begin(0), begin(1)]).toEqual(['ENOSPC', 'ENOSPC']);
  guests[0].ask(MessageType.TRANSACTION_END, encodeStrings('F'), Number(begun[0]));
  expect(begin(1)).toMatch(/^\d+$/);
});

/** A socket whose other end reads when the test says so. */
class StuckSocket extends EventEmitter {
  writableNeedDrain = false;
  destroyed = false;
  written = 0;
  pause(): void {}
  resume(): void {}
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
  write(bytes: Uint8Array): void {
    this.written += bytes.length;
    this.writableNeedDrain = true;
  }
  drain(): void {
    this.writableNeedDrain = false;
    this.emit('drain');
  }
}

test('the requests of a guest wait while it does not read its replies, and are all answered in the end', async () => {
  const { session } = new StoreSetting().connect(5);
  const socket = new StuckSocket();
  const joined = new SocketSession(socket as unknown as Socket, session, new Turns());
  const count = 10 * quotas.outstandingReplies;
  const request = encodeMessage({
    type: MessageType.GET_DOMAIN_PATH,
    requestId: 1,
    transactionId: 0,
    payload: encodeStrings('5'),
  });
  const reply = headerSize + encodeStrings('/local/domain/5').length;
  socket.emit('data', Buffer.concat(Array.from({ length: count }, () => request)));
  for (let turn = 0; turn < 2 * count; turn += 1) await new Promise(setImmediate);
  expect(session.outbox.replies).toBeGreaterThan(0);
  expect(session.outbox.replies).toBeLessThanOrEqual(quotas.outstandingReplies);
  while (socket.written < count * reply) {
    socket.drain();
    await new Promise(setImmediate);
  }
  expect(socket.written).toBe(count * reply);
  joined.destroy();
});
