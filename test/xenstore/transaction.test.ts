import { describe, expect, test } from 'vitest';
import { maxTransactionAttempts } from '../../src/xenstore/transaction.ts';
import type { XenstoreAccess, XenstoreReader } from '../../src/xenstore/index.ts';
import { type Message, MessageType } from '../../src/xenstore/wire.ts';
import { ScriptedServer, storeServer } from './scripted-server.ts';

/** A server whose transactions end as the list says, the last entry again and again. */
function endings(...list: string[]): ScriptedServer {
  let ended = 0;
  return new ScriptedServer((message, connection) => {
    if (message.type === MessageType.TRANSACTION_START) connection.reply(message, String(ended + 1));
    else if (message.type === MessageType.TRANSACTION_END) {
      const how = list[Math.min(ended++, list.length - 1)] ?? 'OK';
      if (how === 'OK') connection.reply(message, how);
      else connection.refuse(message, how);
    } else connection.value(message, 'x');
  });
}

const increment = async (access: XenstoreAccess): Promise<number> => {
  const value = Number((await access.read('/count')) ?? '0') + 1;
  await access.write('/count', String(value));
  return value;
};

describe('a transaction', () => {
  test('carries its id on every request, and commits', async () => {
    const server = endings('OK');
    const client = await server.client();
    expect(await client.transaction((transaction) => transaction.read('/a'))).toBe('x');
    const seen = server.received.map(({ type, transactionId }): Pick<Message, 'type' | 'transactionId'> => ({
      type,
      transactionId,
    }));
    expect(seen).toEqual([
      { type: MessageType.TRANSACTION_START, transactionId: 0 },
      { type: MessageType.READ, transactionId: 1 },
      { type: MessageType.TRANSACTION_END, transactionId: 1 },
    ]);
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T']);
  });

  test('is run again from the start after a conflict, and after the daemon has lost it', async () => {
    const server = endings('EAGAIN', 'ENOENT', 'EIO', 'EAGAIN', 'OK');
    const client = await server.client();
    let runs = 0;
    await client.transaction(async () => void runs++);
    expect(runs).toBe(5);
    expect(client.counters.transactionRetries).toBe(4);
  });

  test('is given up when conflicts do not end', async () => {
    const server = endings('EAGAIN');
    const client = await server.client();
    await expect(client.transaction(async () => {})).rejects.toMatchObject({
      code: 'EAGAIN',
      message: expect.stringContaining(`${maxTransactionAttempts} attempts`),
    });
    expect(server.asked(MessageType.TRANSACTION_START)).toHaveLength(maxTransactionAttempts);
  });

  test('fails at once for another reason', async () => {
    const client = await endings('ENOSPC').client();
    await expect(client.transaction(async () => {})).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  test('is aborted when its body throws, which is passed on', async () => {
    const server = endings('OK');
    const client = await server.client();
    const body = async (): Promise<void> => {
      throw new Error('changed my mind');
    };
    await expect(client.transaction(body)).rejects.toThrow('changed my mind');
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['F']);
  });

  test('in which everything was missing because the daemon had lost it is run again, whatever the body made of that', async () => {
    const server = endings('ENOENT', 'OK');
    const client = await server.client();
    let runs = 0;
    const result = await client.transaction(async () => {
      if (runs++ === 0) throw new Error('a key is missing');
      return 'found';
    });
    expect(result).toBe('found');
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['F', 'T']);
  });

  test('that the connection leaves behind is not run again: it may have been committed', async () => {
    const server = new ScriptedServer((message, connection) => {
      if (message.type === MessageType.TRANSACTION_START) connection.reply(message, '1');
      else connection.drop();
    });
    const client = await server.client();
    let runs = 0;
    await expect(client.transaction(async () => void runs++)).rejects.toMatchObject({ retryable: true });
    expect(runs).toBe(1);
    client.close();
  });

  test('that was begun before is used once, and no other is begun', async () => {
    const server = endings('EAGAIN', 'OK');
    const client = await server.client();
    const begun = client.begin();
    await client.read('/a');
    expect(await client.transaction(async () => 'done', begun)).toBe('done');
    expect(server.asked(MessageType.TRANSACTION_START)).toHaveLength(2);
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T', 'T']);
  });

  test('that was begun on a connection that is no more is begun anew', async () => {
    const server = endings('OK');
    const client = await server.client();
    const begun = client.begin();
    server.connection.drop();
    expect(client.begin()).toBeUndefined();
    begun?.drop();
    expect(await client.transaction(async () => 'done', begun)).toBe('done');
    client.close();
    expect(client.begin()).toBeUndefined();
  });

  test('that has ended takes no further requests', async () => {
    const client = await storeServer().client();
    let leaked: XenstoreAccess | undefined;
    await client.transaction(async (transaction) => void (leaked = transaction));
    await expect(leaked?.write('/a', '1')).rejects.toThrow('has ended');
    expect(await client.read('/a')).toBeUndefined();
  });
});

describe('a snapshot', () => {
  test('asks for everything, and ends, in one turn', async () => {
    const server = endings('OK');
    const client = await server.client();
    const body = (reader: XenstoreReader) => Promise.all([reader.read('/a'), reader.directory('/b')]);
    expect(await client.snapshot(body)).toEqual(['x', []]);
    expect(server.turns()).toEqual([['TRANSACTION_START'], ['READ', 'DIRECTORY', 'TRANSACTION_END']]);
    expect(server.writes[1]?.map(({ transactionId }) => transactionId)).toEqual([1, 1, 1]);
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T']);
  });

  test('is read again after a conflict, and after the daemon has lost it', async () => {
    const server = endings('EAGAIN', 'ENOENT', 'OK');
    const client = await server.client();
    let runs = 0;
    const body = async (reader: XenstoreReader) => `${await reader.read('/a')} ${++runs}`;
    expect(await client.snapshot(body)).toBe('x 3');
    expect(server.asked(MessageType.READ)).toEqual(['/a', '/a', '/a']);
    expect(client.counters.transactionRetries).toBe(2);
  });

  test('fails at once for another reason', async () => {
    const client = await endings('ENOSPC').client();
    await expect(client.snapshot((reader) => reader.read('/a'))).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  test('refuses what is asked for after something was waited for', async () => {
    const server = endings('OK');
    const client = await server.client();
    const body = async (reader: XenstoreReader) => [await reader.read('/a'), await reader.read('/b')];
    await expect(client.snapshot(body)).rejects.toThrow('/b was asked for in a transaction that has ended');
    expect(server.asked(MessageType.READ)).toEqual(['/a']);
  });

  test('whose body throws has ended, and the error is passed on', async () => {
    const server = endings('OK');
    const client = await server.client();
    const body = async (): Promise<void> => {
      throw new Error('changed my mind');
    };
    await expect(client.snapshot(body)).rejects.toThrow('changed my mind');
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['T']);
  });

  test('in which everything was missing because the daemon had lost it is read again, whatever the body made of that', async () => {
    const client = await endings('ENOENT', 'OK').client();
    let runs = 0;
    const body = async (): Promise<string> => {
      if (runs++ === 0) throw new Error('a key is missing');
      return 'found';
    };
    expect(await client.snapshot(body)).toBe('found');
  });

  test('that the connection leaves behind is rejected', async () => {
    const server = new ScriptedServer((message, connection) => {
      if (message.type === MessageType.TRANSACTION_START) connection.reply(message, '1');
      else connection.drop();
    });
    const client = await server.client();
    await expect(client.snapshot((reader) => reader.read('/a'))).rejects.toMatchObject({ retryable: true });
    client.close();
  });
});

test('concurrent increments all count', async () => {
  const server = storeServer();
  const clients = await Promise.all(Array.from({ length: 4 }, () => server.client()));
  const results = await Promise.all(
    clients.flatMap((client) => Array.from({ length: 10 }, () => client.transaction(increment))),
  );
  expect(results.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
});
