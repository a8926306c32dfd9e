import { setImmediate as turn } from 'node:timers/promises';
import { config, map } from 'rxjs';
import { describe, expect, test } from 'vitest';
import { ConnectionLost, type XenstoreClient } from '../../src/xenstore/index.ts';
import { maxPendingPaths } from '../../src/xenstore/watches.ts';
import { decodeStrings, encodeMessage, encodeStrings, MessageType } from '../../src/xenstore/wire.ts';
import { agreeable, ScriptedServer, storeServer } from './scripted-server.ts';

/** Collects what a watch says. */
function listen(client: XenstoreClient, path: string): string[] {
  const heard: string[] = [];
  client.watch(path).subscribe({
    next: (changed) => heard.push(changed),
    error: (error: Error) => heard.push(`error ${error.message}`),
    complete: () => heard.push('complete'),
  });
  return heard;
}

const settle = async (): Promise<void> => {
  for (let round = 0; round < 10; round++) await turn();
};

/** The token that the client chose for a path. */
function tokenOf(server: ScriptedServer, path: string): string {
  const watch = server.received.findLast(
    ({ type, payload }) => type === MessageType.WATCH && decodeStrings(payload)[0] === path,
  );
  return decodeStrings(watch?.payload ?? new Uint8Array())[1] ?? '';
}

describe('a watch', () => {
  test('begins with its own path and goes on with what changes', async () => {
    const client = await storeServer().client();
    const heard = listen(client, '/a');
    await settle();
    await client.write('/a/b', '1');
    await settle();
    expect(heard).toEqual(['/a', '/a/b']);
    client.close();
    expect(heard).toEqual(['/a', '/a/b', 'complete']);
  });

  test('is one on the wire for all who listen, each of whom hears a first ring', async () => {
    const server = storeServer();
    const client = await server.client();
    const [first, second] = [listen(client, '/a'), listen(client, '/a')];
    await settle();
    const third: string[] = [];
    const last = client.watch('/a').subscribe((path) => third.push(path));
    await settle();
    expect([first, second, third]).toEqual([['/a'], ['/a'], ['/a']]);
    expect(server.asked(MessageType.WATCH)).toHaveLength(1);
    last.unsubscribe();
    await settle();
    expect(server.asked(MessageType.UNWATCH)).toEqual([]);
    client.close();
  });

  test('is removed when the last one leaves, and set anew under another token for the next', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const subscription = client.watch('/a').subscribe();
    await settle();
    const token = tokenOf(server, '/a');
    subscription.unsubscribe();
    const heard = listen(client, '/a');
    await settle();
    expect(server.asked(MessageType.UNWATCH)).toEqual([`/a ${token}`]);
    expect(tokenOf(server, '/a')).not.toBe(token);
    // Late events of the old watch.
    server.connection.event('/a/late', token);
    server.connection.event('/a/late', 'never-was');
    await settle();
    expect(heard).toEqual(['/a']);
    expect(client.counters.unknownTokens).toBe(2);
    client.close();
  });

  test('that is refused fails its listeners, and only them', async () => {
    const server = storeServer();
    const client = await server.client();
    const good = listen(client, '/a');
    const bad = listen(client, '/a//b');
    await settle();
    expect(bad).toEqual([expect.stringMatching(/^error WATCH \/a\/\/b: EINVAL/)]);
    expect(good).toEqual(['/a']);
    expect(server.asked(MessageType.UNWATCH)).toEqual([]);
    client.close();
  });

  test('may ring before it is acknowledged', async () => {
    const server = new ScriptedServer((message, connection) => {
      const [path = '', token = ''] = decodeStrings(message.payload);
      connection.event(path, token);
      connection.reply(message, 'OK');
    });
    const client = await server.client();
    const heard = listen(client, '/a');
    await settle();
    expect(heard).toEqual(['/a']);
    client.close();
  });
});

describe('events', () => {
  const storm = (token: string, paths: readonly string[]): Buffer =>
    Buffer.concat(
      paths.map((path) =>
        encodeMessage({
          type: MessageType.WATCH_EVENT,
          requestId: 0,
          transactionId: 0,
          payload: encodeStrings(path, token),
        }),
      ),
    );

  test('of one path that come together are one', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const heard = listen(client, '/a');
    await settle();
    server.connection.bytes(
      storm(
        tokenOf(server, '/a'),
        Array.from({ length: 10_000 }, (_, index) => `/a/${index % 3}`),
      ),
    );
    await settle();
    expect(heard).toEqual(['/a', '/a/0', '/a/1', '/a/2']);
    expect(client.counters.events).toBe(10_001);
    client.close();
  });

  test('of too many paths are one of the watched path', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const heard = listen(client, '/a');
    await settle();
    heard.length = 0;
    server.connection.bytes(
      storm(
        tokenOf(server, '/a'),
        Array.from({ length: 100_000 }, (_, index) => `/a/${index}`),
      ),
    );
    await settle();
    expect(heard.length).toBeLessThanOrEqual(maxPendingPaths);
    expect(heard).toContain('/a');
    client.close();
  });

  test('do not run consumers inside the parser, so these can wait for answers', async () => {
    const client = await storeServer().client();
    await client.write('/a', '1');
    const values: (string | undefined)[] = [];
    client.watch('/a').subscribe((path) => {
      void client.read(path).then((value) => values.push(value));
    });
    await settle();
    await client.write('/a', '2');
    await settle();
    expect(values).toEqual(['1', '2']);
    client.close();
  });

  test('reach the others when one consumer throws', async () => {
    const client = await storeServer().client();
    const uncaught: Error[] = [];
    config.onUnhandledError = (error: Error) => void uncaught.push(error);
    client.watch('/a').subscribe(() => {
      throw new Error('a defect of the consumer');
    });
    const broken: string[] = [];
    const parse = (): never => {
      throw new Error('a defect of an operator');
    };
    client
      .watch('/a')
      .pipe(map(parse))
      .subscribe({ error: (error: Error) => broken.push(error.message) });
    const heard = listen(client, '/a');
    await settle();
    await client.write('/a', '1');
    await expect.poll(() => uncaught).toHaveLength(2);
    config.onUnhandledError = null;
    expect(heard).toEqual(['/a', '/a']);
    expect(broken).toEqual(['a defect of an operator']);
    client.close();
  });
});

describe('after a reconnect', () => {
  test('every watch is set again and rings', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const [a, b] = [listen(client, '/a'), listen(client, '/b')];
    await settle();
    server.connection.drop();
    const c = listen(client, '/c');
    await client.write('/x', '1');
    await settle();
    expect([a, b, c]).toEqual([['/a', '/a'], ['/b', '/b'], ['/c']]);
    expect(server.asked(MessageType.WATCH).toSorted()).toHaveLength(5);
    client.close();
  });

  test('one that was given up meanwhile is not', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const subscription = client.watch('/a').subscribe();
    await settle();
    server.connection.drop();
    subscription.unsubscribe();
    await client.write('/x', '1');
    await settle();
    expect(server.asked(MessageType.WATCH)).toHaveLength(1);
    expect(server.asked(MessageType.UNWATCH)).toHaveLength(0);
    client.close();
  });

  test('there is none where it was not asked for: the streams fail', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client({ reconnect: false });
    const failed = new Promise((resolve) => client.watch('/a').subscribe({ error: resolve }));
    await settle();
    server.connection.drop();
    expect(await failed).toBeInstanceOf(ConnectionLost);
    expect(listen(client, '/b')).toEqual(['error xenstored closed the connection']);
  });
});
