/** What the client makes of odd behaviour on the wire. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConnectionLost, type XenstoreClient, XenstoreError } from '../../src/xenstore/index.ts';
import {
  decodeStrings,
  encodeMessage,
  encodeStrings,
  headerSize,
  type Message,
  MessageType,
} from '../../src/xenstore/wire.ts';
import { agreeable, ScriptedServer } from './scripted-server.ts';

const silent = (): void => {};
const pathOf = ({ payload }: Message): string => decodeStrings(payload)[0] ?? '';

describe('replies', () => {
  test('are matched by id, in whatever order they come', async () => {
    const waiting: Message[] = [];
    const server = new ScriptedServer((message, connection) => {
      waiting.push(message);
      if (waiting.length < 3) return;
      for (const each of waiting.toReversed()) connection.value(each, `value of ${pathOf(each)}`);
    });
    const client = await server.client();
    const values = await Promise.all(['/a', '/b', '/c'].map((path) => client.read(path)));
    expect(values).toEqual(['value of /a', 'value of /b', 'value of /c']);
  });

  test('may come byte by byte', async () => {
    const server = new ScriptedServer((message, connection) => {
      const bytes = encodeMessage({ ...message, payload: Buffer.from('hello') });
      for (const byte of bytes) connection.bytes(Uint8Array.of(byte));
    });
    expect(await (await server.client()).read('/a')).toBe('hello');
  });

  test('to nobody are counted and dropped', async () => {
    const server = new ScriptedServer((message, connection) => {
      connection.value({ ...message, requestId: 4711 }, 'for somebody else');
      connection.value(message, 'hello');
      connection.value(message, 'again');
    });
    const client = await server.client();
    expect(await client.read('/a')).toBe('hello');
    expect(client.counters.unknownReplies).toBe(2);
  });

  test('may be longer than a payload, as oxenstored’s listings are', async () => {
    const names = Array.from({ length: 610 }, (_, index) => `child-${String(index).padStart(4, '0')}`);
    const server = new ScriptedServer((message, connection) => connection.reply(message, ...names));
    expect(await (await server.client()).directory('/large')).toEqual(names);
  });

  test('longer than 64 KiB end the connection', async () => {
    const server = new ScriptedServer((message, connection) => {
      const header = encodeMessage({ ...message, payload: Buffer.alloc(0) });
      header.writeUInt32LE(65_537, 12);
      connection.bytes(header);
    });
    const client = await server.client({ reconnect: false });
    await expect(client.read('/a')).rejects.toBeInstanceOf(ConnectionLost);
    expect(server.connection.closed).toBe(true);
  });

  test('keep errno names that are in no header', async () => {
    const server = new ScriptedServer((message, connection) => connection.refuse(message, 'EQUOTA'));
    const client = await server.client();
    const error = await client.write('/a', '1').catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(XenstoreError);
    expect(error).toMatchObject({
      code: 'EQUOTA',
      operation: 'WRITE',
      subject: '/a',
      reason: 'XENSTORE-REFUSED',
    });
    expect(client.counters.refusals).toEqual({ 'WRITE EQUOTA': 1 });
  });

  test('an end in the middle of a header fails what waits', async () => {
    const server = new ScriptedServer((message, connection) => {
      connection.bytes(encodeMessage({ ...message, payload: Buffer.alloc(0) }).subarray(0, 7));
      connection.drop();
    });
    const client = await server.client({ reconnect: false });
    await expect(client.read('/a')).rejects.toMatchObject({ retryable: true, reason: 'NO-XENSTORE' });
  });
});

describe('requests', () => {
  test('carry at least one byte and at most 4096, and never half a path', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    await client.transaction(async () => {});
    await client.write('/a', 'v'.repeat(4093));
    await expect(client.write('/a', 'v'.repeat(4094))).rejects.toMatchObject({ code: 'E2BIG' });
    await expect(client.read('/a\0/b')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(client.read('')).rejects.toMatchObject({ code: 'EINVAL' });
    expect(server.received.every(({ payload }) => payload.length >= 1 && payload.length <= 4096)).toBe(true);
    expect(server.received.map(({ type }) => type)).toEqual([
      MessageType.TRANSACTION_START,
      MessageType.TRANSACTION_END,
      MessageType.WRITE,
    ]);
  });

  test('of one turn of the program leave together, those that follow from settled promises too', async () => {
    const server = new ScriptedServer(agreeable);
    const client = await server.client();
    const first = client.read('/a');
    const second = Promise.resolve()
      .then(() => undefined)
      .then(() => client.read('/b'));
    await Promise.all([first, second]);
    expect(server.turns()).toEqual([['READ', 'READ']]);
  });

  test('wait their turn beyond the number that may be under way', async () => {
    let most = 0;
    let underWay = 0;
    const server = new ScriptedServer((message, connection) => {
      underWay++;
      most = Math.max(most, underWay);
      setImmediate(() => {
        underWay--;
        connection.value(message, pathOf(message));
      });
    });
    const client = await server.client({ maxInFlight: 5 });
    const paths = Array.from({ length: 200 }, (_, index) => `/${index}`);
    expect(await Promise.all(paths.map((path) => client.read(path)))).toEqual(paths);
    expect(most).toBe(5);
  });

  test('that are not answered in time end the connection, and all that waits with it', async () => {
    const server = new ScriptedServer(silent);
    const client = await server.client({ requestTimeoutMs: 30, maxInFlight: 1, reconnect: false });
    const outcomes = await Promise.allSettled([
      client.read('/a'),
      client.read('/b'),
      client.write('/c', '1'),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(outcomes[0]).toMatchObject({
      reason: { message: 'xenstored did not answer READ /a within 0.03 s' },
    });
    expect(client.counters.timeouts).toBe(1);
    expect(server.connection.closed).toBe(true);
  });

  test('are not given up when it is this program that was held up', async () => {
    const server = new ScriptedServer((message, connection) => connection.value(message, 'x'));
    const client = await server.client({ requestTimeoutMs: 20 });
    const answer = client.read('/a');
    await Promise.resolve();
    const end = performance.now() + 60;
    while (performance.now() < end);
    expect(await answer).toBe('x');
    expect(client.counters.timeouts).toBe(0);
    client.close();
  });

  test('are not given up when this program is held up again and again', async () => {
    const heldUp = (turns: number, then: () => void): void => {
      const end = performance.now() + 40;
      while (performance.now() < end);
      if (turns === 0) then();
      else setImmediate(() => heldUp(turns - 1, then));
    };
    const server = new ScriptedServer((message, connection) => {
      heldUp(3, () => connection.value(message, 'x'));
    });
    const client = await server.client({ requestTimeoutMs: 20 });
    expect(await client.read('/a')).toBe('x');
    expect(client.counters.timeouts).toBe(0);
    client.close();
  });

  test('that wait their turn for long are in time', async () => {
    const server = new ScriptedServer((message, connection) => {
      setTimeout(() => connection.value(message, 'x'), 5);
    });
    const client = await server.client({ requestTimeoutMs: 200, maxInFlight: 1 });
    await Promise.all(Array.from({ length: 60 }, () => client.read('/a')));
    expect(client.counters.timeouts).toBe(0);
    client.close();
  });

  test('that are answered one after the other do not add up to a timeout', async () => {
    const server = new ScriptedServer((message, connection) => {
      setTimeout(() => connection.value(message, 'x'), 5);
    });
    const client = await server.client({ requestTimeoutMs: 1000 });
    for (let round = 0; round < 20; round++) await client.read('/a');
    expect(client.counters.timeouts).toBe(0);
  });
});

describe('directories', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const inParts = (generations: readonly string[]): ScriptedServer => {
    let parts = 0;
    return new ScriptedServer((message, connection) => {
      if (message.type === MessageType.DIRECTORY) {
        connection.refuse(message, 'E2BIG');
        return;
      }
      const [, offset = ''] = decodeStrings(message.payload);
      const generation = generations[parts++] ?? generations.at(-1) ?? '';
      const list = encodeStrings(...names).subarray(Number(offset));
      // Three bytes at a time, so that names are cut: only whole ones are given.
      const part = list.subarray(0, list.lastIndexOf(0, 2) + 1);
      const last = part.length === list.length;
      connection.value(message, `${generation}\0${part.toString()}${last ? '\0' : ''}`);
    });
  };

  test('too long for a reply are read in parts', async () => {
    const server = inParts(['7']);
    expect(await (await server.client()).directory('/large')).toEqual(names);
    expect(server.asked(MessageType.DIRECTORY_PART)).toEqual([
      '/large 0',
      '/large 2',
      '/large 4',
      '/large 6',
      '/large 8',
    ]);
  });

  test('that change midway are read again from the start', async () => {
    const server = inParts(['7', '7', '8']);
    expect(await (await server.client()).directory('/large')).toEqual(names);
    expect(server.asked(MessageType.DIRECTORY_PART).filter((asked) => asked === '/large 0')).toHaveLength(2);
  });

  test('that never stand still are given up', async () => {
    let generation = 0;
    const server = new ScriptedServer((message, connection) => {
      if (message.type === MessageType.DIRECTORY) connection.refuse(message, 'E2BIG');
      else connection.value(message, `${generation++}\0a\0`);
    });
    await expect((await server.client()).directory('/large')).rejects.toMatchObject({ code: 'EAGAIN' });
  });

  test('are too big where parts are not known', async () => {
    const server = new ScriptedServer((message, connection) => {
      connection.refuse(message, message.type === MessageType.DIRECTORY ? 'E2BIG' : 'ENOSYS');
    });
    await expect((await server.client()).directory('/large')).rejects.toMatchObject({ code: 'E2BIG' });
  });

  test('come sorted, whoever answers', async () => {
    const server = new ScriptedServer((message, connection) =>
      connection.reply(message, 'b', 'a', '10', '9'),
    );
    expect(await (await server.client()).directory('/')).toEqual(['10', '9', 'a', 'b']);
  });
});

interface Exchange {
  readonly id: string;
  readonly server: string;
  readonly request?: string;
  readonly responses?: readonly string[];
}

/** Calls the method that makes such a request; undefined where there is none. */
function call(
  client: XenstoreClient,
  type: number,
  [path = '', ...rest]: string[],
): Promise<unknown> | undefined {
  switch (type) {
    case MessageType.READ:
      return client.read(path);
    case MessageType.DIRECTORY:
      return client.directory(path);
    case MessageType.GET_PERMS:
      return client.getPerms(path);
    case MessageType.MKDIR:
      return client.mkdir(path);
    case MessageType.RM:
      return client.rm(path);
    case MessageType.IS_DOMAIN_INTRODUCED:
      return client.isIntroduced(Number(path));
    case MessageType.RELEASE:
      return client.release(Number(path));
    case MessageType.CONTROL:
      return client.control(path, ...rest);
    default:
      return undefined;
  }
}

/** What the client should make of a reply. */
function meaningOf(type: number, reply: Buffer): unknown {
  const payload = reply.subarray(headerSize);
  const strings = decodeStrings(payload);
  if (reply.readUInt32LE(0) === MessageType.ERROR) {
    const missing = strings[0] === 'ENOENT' && type !== MessageType.RELEASE;
    return missing ? undefined : { code: strings[0] };
  }
  if (type === MessageType.READ) return payload.toString();
  if (type === MessageType.DIRECTORY) return strings.sort();
  if (type === MessageType.GET_PERMS) return strings;
  if (type === MessageType.IS_DOMAIN_INTRODUCED) return strings[0] === 'T';
  return type === MessageType.CONTROL ? payload.toString().replace(/\0$/, '') : undefined;
}

const fixture = new URL('../fixtures/xenstore-golden.json', import.meta.url);
const recorded = JSON.parse(readFileSync(fixture, 'utf8')) as Exchange[];

test.each(['C', 'ox'])('what %s xenstored answered is understood', async (kind) => {
  let understood = 0;
  for (const { id, server: by, request = '', responses = [] } of recorded) {
    const bytes = Buffer.from(request, 'hex');
    if (by !== kind || bytes.length < headerSize || responses.length === 0) continue;
    const type = bytes.readUInt32LE(0);
    const strings = decodeStrings(bytes.subarray(headerSize));
    const isWhole = bytes.at(-1) === 0 && bytes.length === headerSize + bytes.readUInt32LE(12);
    const tooBig = responses.some((hex) => hex.includes(Buffer.from('E2BIG').toString('hex')));
    if (!isWhole || !strings[0] || tooBig) continue;
    const server = new ScriptedServer((message, connection) => {
      for (const hex of responses) {
        const reply = Buffer.from(hex, 'hex');
        if (reply.readUInt32LE(0) !== MessageType.WATCH_EVENT) reply.writeUInt32LE(message.requestId, 4);
        connection.bytes(reply);
      }
    });
    const client = await server.client();
    const result = await call(client, type, strings)?.catch(({ code }: XenstoreError) => ({ code }));
    const reply = responses
      .map((hex) => Buffer.from(hex, 'hex'))
      .find((each) => each.readUInt32LE(0) !== MessageType.WATCH_EVENT);
    if (server.received.length === 0 || !reply) continue;
    expect({ id, result }).toEqual({ id, result: meaningOf(type, reply) });
    understood++;
    client.close();
  }
  expect(understood).toBeGreaterThan(70);
});
