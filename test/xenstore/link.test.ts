import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstValueFrom, filter, toArray } from 'rxjs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConnectionLost, XenstoreClient, xenstoredSocketPath } from '../../src/xenstore/index.ts';
import { MessageType } from '../../src/xenstore/wire.ts';
import { agreeable, ScriptedServer } from './scripted-server.ts';

const silent = (): void => {};
const becomes = (client: XenstoreClient, state: string): Promise<unknown> =>
  firstValueFrom(client.state$.pipe(filter((now) => now === state)));

describe('a lost connection', () => {
  test('is replaced, and what was under way fails as worth another try', async () => {
    const server = new ScriptedServer(silent);
    const client = await server.client();
    const states: string[] = [];
    client.state$.subscribe((state) => states.push(state));
    const requests = Promise.allSettled([
      client.read('/a'),
      client.write('/b', '1'),
      client.transaction(async () => {}),
    ]);
    server.script = agreeable;
    server.connection.drop();
    for (const outcome of await requests) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { retryable: true } });
    }
    await becomes(client, 'connected');
    await client.write('/a', '1');
    expect(states).toEqual(['connected', 'reconnecting', 'connected']);
    expect(client.counters.reconnects).toBe(1);
    client.close();
  });

  test('holds back new requests until there is another', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    server.listening = false;
    server.connection.drop();
    const written = client.write('/a', '1');
    expect(server.received).toEqual([]);
    server.listening = true;
    await written;
    expect(server.asked(MessageType.WRITE)).toEqual(['/a 1']);
    client.close();
  });

  test('that is not replaced in time fails them', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client({ requestTimeoutMs: 20 });
    server.listening = false;
    server.connection.drop();
    await expect(client.read('/a')).rejects.toBeInstanceOf(ConnectionLost);
    client.close();
  });

  test('is replaced when the daemon stalls', async () => {
    const server = new ScriptedServer(silent);
    const client = await server.client({ requestTimeoutMs: 20 });
    await expect(client.read('/a')).rejects.toMatchObject({ retryable: true });
    server.script = agreeable;
    await becomes(client, 'connected');
    await client.write('/a', '1');
    expect(client.counters).toMatchObject({ timeouts: 1, reconnects: 1 });
    client.close();
  });

  test('means the end where that was asked for', async () => {
    const server = new ScriptedServer(silent);
    const client = await server.client({ reconnect: false });
    const states = firstValueFrom(client.state$.pipe(toArray()));
    server.connection.drop();
    expect(await states).toEqual(['connected', 'closed']);
    await expect(client.read('/a')).rejects.toBeInstanceOf(ConnectionLost);
    expect(server.connections).toHaveLength(1);
  });
});

describe('closing', () => {
  test('fails what is under way and what comes later, and can be done twice', async () => {
    const server = new ScriptedServer(silent);
    const client = await server.client();
    const request = Promise.allSettled([client.read('/a')]);
    client.close();
    client.close();
    expect(await request).toMatchObject([{ status: 'rejected', reason: { retryable: true } }]);
    await expect(client.read('/a')).rejects.toBeInstanceOf(ConnectionLost);
    await expect(client.transaction(async () => {})).rejects.toBeInstanceOf(ConnectionLost);
    expect(await firstValueFrom(client.state$, { defaultValue: 'completed' })).toBe('completed');
    expect(server.connection.closed).toBe(true);
  });

  test('ends the search for another connection', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const server = new ScriptedServer(silent);
    const client = await server.client();
    server.listening = false;
    server.connection.drop();
    const waiting = Promise.allSettled([client.read('/a')]);
    client.close();
    expect(await waiting).toMatchObject([{ status: 'rejected', reason: { retryable: true } }]);
    server.listening = true;
    // Longer than any pause between two attempts.
    vi.advanceTimersByTime(60_000);
    await new Promise(setImmediate);
    expect(server.connections).toHaveLength(1);
  });
});

describe('the first connection', () => {
  test('is found as libxenstore finds it', () => {
    expect(xenstoredSocketPath({})).toBe('/run/xenstored/socket');
    expect(xenstoredSocketPath({ XENSTORED_RUNDIR: '/x' })).toBe('/x/socket');
    expect(xenstoredSocketPath({ XENSTORED_RUNDIR: '/x', XENSTORED_PATH: '/y' })).toBe('/y');
  });

  test.each(['/nowhere/socket', `/${'x'.repeat(200)}`])(
    'that cannot be made says what to do: %s',
    async (path) => {
      const error = await XenstoreClient.connect({ path }).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ reason: 'NO-XENSTORE', exitCode: 3, remedy: expect.stringMatching(/./) });
    },
  );

  test('to a socket that nobody listens at is refused as well', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xs-'));
    const path = join(directory, 'socket');
    const server = createServer().listen(path);
    await once(server, 'listening');
    const client = await XenstoreClient.connect({ path, reconnect: false });
    client.close();
    server.close();
    await once(server, 'close');
    await expect(XenstoreClient.connect({ path })).rejects.toMatchObject({ reason: 'NO-XENSTORE' });
    rmSync(directory, { recursive: true });
  });
});
