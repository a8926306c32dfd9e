import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { again, Again, type XenstoreReader } from '../../src/xenstore/index.ts';
import { decodeStrings, MessageType } from '../../src/xenstore/wire.ts';
import { patience } from '../bounds.ts';
import { type ScriptedServer, storeServer } from './scripted-server.ts';

const settle = async (): Promise<void> => {
  for (let round = 0; round < 20; round++) await turn();
};

/** The paths that are watched now. */
function watched(server: ScriptedServer): string[] {
  const paths: string[] = [];
  for (const { type, payload } of server.received) {
    const [path = ''] = decodeStrings(payload);
    if (type === MessageType.WATCH) paths.push(path);
    if (type === MessageType.UNWATCH) paths.splice(paths.indexOf(path), 1);
  }
  return paths.sort();
}

const timeoutMs = patience;

describe('waiting', () => {
  test('ends at once when there is nothing to wait for', async () => {
    const server = storeServer();
    const client = await server.client();
    expect(await client.wait(async () => 'done', { timeoutMs })).toBe('done');
    expect(server.received).toEqual([]);
  });

  test('goes on until what was read has changed', async () => {
    const server = storeServer();
    const client = await server.client();
    const state = async (reader: XenstoreReader): Promise<string | typeof again> => {
      const value = await reader.read('/state');
      return value === '3' ? 'connected' : again;
    };
    const waiting = client.wait(state, { timeoutMs });
    await settle();
    expect(watched(server)).toEqual(['/state']);
    await client.write('/state', '1');
    await client.write('/other', '3');
    await settle();
    await client.write('/state', '3');
    expect(await waiting).toBe('connected');
    await settle();
    expect(watched(server)).toEqual([]);
  });

  test('watches exactly what the latest run has read', async () => {
    const server = storeServer();
    const client = await server.client();
    const waiting = client.wait(
      async (reader) => {
        if ((await reader.directory('/first'))?.length !== 1) throw new Again();
        const [bytes] = await Promise.all([reader.readBytes('/second'), reader.getPerms('/third')]);
        return bytes ? bytes.length : again;
      },
      { timeoutMs },
    );
    await settle();
    expect(watched(server)).toEqual(['/first']);
    await client.write('/first/child', '');
    await settle();
    expect(watched(server)).toEqual(['/first', '/second', '/third']);
    await client.write('/second', 'four');
    expect(await waiting).toBe(4);
  });

  test('misses no change between the read and the watch', async () => {
    const client = await storeServer().client();
    let runs = 0;
    const value = await client.wait(
      async (reader) => {
        const found = await reader.read('/a');
        // The very moment that a watch could miss.
        if (runs++ === 0) await client.write('/a', 'now');
        return found ?? again;
      },
      { timeoutMs },
    );
    expect(value).toBe('now');
  });

  test('is over after its time', async () => {
    const server = storeServer();
    const client = await server.client();
    const waiting = client.wait(async (reader) => (await reader.read('/a')) ?? again, {
      timeoutMs: 20,
      what: 'the front-end to connect',
    });
    await expect(waiting).rejects.toMatchObject({
      reason: 'TIMED-OUT',
      message: 'waited 0.02 s for the front-end to connect',
    });
    await settle();
    expect(watched(server)).toEqual([]);
  });

  test('is over after its time even when a run hangs', async () => {
    const client = await storeServer().client();
    const waiting = client.wait(() => new Promise<string>(() => {}), { timeoutMs: 20 });
    await expect(waiting).rejects.toMatchObject({ reason: 'TIMED-OUT' });
  });

  test('can be called off', async () => {
    const client = await storeServer().client();
    const abort = new AbortController();
    const waiting = client.wait(async (reader) => (await reader.read('/a')) ?? again, {
      timeoutMs,
      signal: abort.signal,
    });
    abort.abort(new Error('never mind'));
    await expect(waiting).rejects.toThrow('never mind');
    const body = async (): Promise<string> => 'not run';
    await expect(client.wait(body, { timeoutMs, signal: abort.signal })).rejects.toThrow('never mind');
  });

  test('passes on what the body throws', async () => {
    const client = await storeServer().client();
    const body = async (): Promise<string> => {
      throw new Error('malformed');
    };
    await expect(client.wait(body, { timeoutMs })).rejects.toThrow('malformed');
  });

  test('on nothing would never end, and says so', async () => {
    const client = await storeServer().client();
    await expect(client.wait(async () => again, { timeoutMs })).rejects.toThrow('read nothing');
  });

  test('outlives a lost connection', async () => {
    const server = storeServer();
    const client = await server.client();
    const waiting = client.wait(async (reader) => (await reader.read('/a')) ?? again, { timeoutMs });
    await settle();
    server.connection.drop();
    await client.write('/a', 'there');
    expect(await waiting).toBe('there');
    client.close();
  });

  test('ends with the client', async () => {
    const client = await storeServer().client();
    const waiting = client.wait(async (reader) => (await reader.read('/a')) ?? again, { timeoutMs });
    const outcome = Promise.allSettled([waiting]);
    await settle();
    client.close();
    expect(await outcome).toMatchObject([{ status: 'rejected', reason: { reason: 'NO-XENSTORE' } }]);
  });
});
