import { describe, expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { XenbusWriter } from '../../src/backend/xenbus-writer.ts';
import { XenbusState, backendPath } from '../../src/xenbus/index.ts';
import { MessageType } from '../../src/xenstore/wire.ts';
import { storeServer } from '../xenstore/scripted-server.ts';

const { Initialised, Connected, Closing } = XenbusState;
const domid = 5;
const ours = `${backendPath(domid)}/state`;

/** A directory in this state, and a way to see what is asked for from here. */
async function setUp(state: XenbusState | undefined) {
  const server = storeServer();
  const client = await server.client();
  if (state !== undefined) await client.write(ours, String(state));
  server.writes.length = 0;
  const writer = new XenbusWriter(client, domid);
  const advance = (meanwhile?: () => Promise<void>) => writer.advance([Initialised], Connected, meanwhile);
  return { server, client, writer, advance };
}

/** Resolves when the test says so. */
function work() {
  let end: () => void = () => expect.unreachable();
  const done = new Promise<void>((resolve) => (end = resolve));
  return { done, end };
}

describe('our state', () => {
  test('is moved on in three turns: it is written with the end of the transaction', async () => {
    const { server, client, advance } = await setUp(Initialised);
    await advance();
    expect(server.turns()).toEqual([['TRANSACTION_START'], ['READ'], ['WRITE', 'TRANSACTION_END']]);
    expect(await client.read(ours)).toBe('4');
  });

  test('is moved on in two turns when the transaction has been begun with another question', async () => {
    const { server, client, writer } = await setUp(Initialised);
    const asked = client.read('/a');
    const begun = client.begin();
    await asked;
    await writer.advance([Initialised], Connected, undefined, begun);
    expect(server.turns()).toEqual([['READ', 'TRANSACTION_START'], ['READ'], ['WRITE', 'TRANSACTION_END']]);
    expect(await client.read(ours)).toBe('4');
  });

  test('is moved on also when that one was begun on a connection that has been lost', async () => {
    const { server, client, writer } = await setUp(Initialised);
    const begun = client.begin();
    server.connection.drop();
    await client.write(ours, String(Initialised));
    await writer.advance([Initialised], Connected, undefined, begun);
    expect(await client.read(ours)).toBe('4');
  });

  test.each([Closing, Connected, undefined])('is left alone when it is %s', async (state) => {
    const { server, client, advance } = await setUp(state);
    await advance();
    expect(server.asked(MessageType.WRITE).slice(state === undefined ? 0 : 1)).toEqual([]);
    expect(await client.read(ours)).toBe(state === undefined ? undefined : String(state));
  });

  test('that could not be written is an error', async () => {
    const { server, advance } = await setUp(Initialised);
    const { script } = server;
    server.script = (message, connection) =>
      message.type === MessageType.WRITE ? connection.refuse(message, 'EACCES') : script(message, connection);
    await expect(advance()).rejects.toMatchObject({ code: 'EACCES' });
  });
});

describe('a directory that its toolstack has removed', () => {
  test('is not made anew, whatever there is to be said', async () => {
    const { server, client, writer } = await setUp(undefined);
    await client.write(`${backendPath(domid)}/dev-0`, '0000:03:00.0');
    server.writes.length = 0;
    await writer.exported(0, makeSbdf(0, 3, 0, 0), makeSbdf(0, 0, 0, 0));
    await writer.withdrawn(0);
    await writer.publishRoots([{ segment: 0, bus: 0 }]);
    expect(server.turns().flat()).not.toContain('WRITE');
  });
});

describe('a function', () => {
  const functions = [makeSbdf(0, 3, 0, 0), makeSbdf(0, 4, 0, 0)] as const;

  test('is said to be exported where it is listed', async () => {
    const { client, writer } = await setUp(Initialised);
    await client.write(`${backendPath(domid)}/dev-0`, '0000:04:00.0');
    await writer.exported(0, functions[1], makeSbdf(0, 0, 1, 0));
    expect(await client.read(`${backendPath(domid)}/vdev-0`)).toBe('0000:00:01.00');
    expect(await client.read(`${backendPath(domid)}/state-0`)).toBe('3');
  });

  test('is not said to be exported in the place of another, which the toolstack has renumbered', async () => {
    const { client, writer } = await setUp(Initialised);
    await client.write(`${backendPath(domid)}/dev-0`, '0000:04:00.0');
    await writer.exported(0, functions[0], makeSbdf(0, 0, 0, 0));
    expect(await client.read(`${backendPath(domid)}/vdev-0`)).toBeUndefined();
    expect(await client.read(`${backendPath(domid)}/state-0`)).toBeUndefined();
  });
});

describe('what is to be done before', () => {
  test('is begun when xenstored has been asked, before it answers, and waited for', async () => {
    const { server, client, advance } = await setUp(Initialised);
    const { done, end } = work();
    const { script } = server;
    const asked: string[] = [];
    const read = new Promise<void>((resolve) => {
      server.script = (message, connection) => {
        script(message, connection);
        if (message.type === MessageType.READ) resolve();
      };
    });
    const advanced = advance(() => {
      asked.push(...server.turns().flat());
      return done;
    });
    await read;
    expect(asked).toEqual(['TRANSACTION_START', 'READ']);
    expect(await client.read(ours)).toBe('3');
    end();
    await advanced;
    expect(await client.read(ours)).toBe('4');
  });

  test('is done once, however often the transaction is run', async () => {
    const { server, client, advance } = await setUp(Initialised);
    const { script } = server;
    let conflicts = 0;
    server.script = (message, connection) => {
      if (message.type !== MessageType.TRANSACTION_END || conflicts++ === 2)
        return script(message, connection);
      connection.refuse(message, 'EAGAIN');
    };
    let times = 0;
    await advance(async () => void times++);
    expect(times).toBe(1);
    expect(client.counters.transactionRetries).toBe(2);
  });

  test('and fails leaves our state as it is, and is passed on', async () => {
    const { server, client, advance } = await setUp(Initialised);
    await expect(advance(() => Promise.reject(new Error('no page')))).rejects.toThrow('no page');
    expect(server.asked(MessageType.TRANSACTION_END)).toEqual(['F']);
    expect(await client.read(ours)).toBe('3');
  });

  test('is waited for when there is no directory any more', async () => {
    const { advance } = await setUp(undefined);
    await expect(advance(() => Promise.reject(new Error('no page')))).rejects.toThrow('no page');
  });
});
