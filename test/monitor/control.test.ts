import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { PcibackError } from '../../src/errors.ts';
import { LineTooLong, parseRequest, splitLines } from '../../src/monitor/control-line.ts';
import { ControlServer } from '../../src/monitor/control-server.ts';
import { ControlClient, type ControlMethods } from '../../src/monitor/index.ts';

let path: string;
beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pciback-control-'));
  path = join(directory, 'control.sock');
  onTestFinished(() => rm(directory, { recursive: true }));
});

async function serve(methods: ControlMethods): Promise<ControlServer> {
  const server = await ControlServer.listen(path, methods);
  onTestFinished(() => server.close());
  return server;
}

async function connectClient(): Promise<ControlClient> {
  const client = await ControlClient.connect(path);
  onTestFinished(() => client.close());
  return client;
}

/** Sends bytes and returns all that comes back until the server ends the connection. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(path);
  socket.end(bytes);
  return text(socket);
}

describe('a call', () => {
  it('brings back what the method returns', async () => {
    await serve({
      add: ({ a, b }) => Number(a) + Number(b),
      later: () => Promise.resolve({ x: [1] }),
      nothing: () => undefined,
    });
    const client = await connectClient();
    expect(await client.call('add', { a: 1, b: 2 })).toBe(3);
    expect(await client.call('later')).toEqual({ x: [1] });
    expect(await client.call('nothing')).toBeNull();
  });

  it("brings back the daemon's error with reason and remedy", async () => {
    await serve({
      refuse: () => {
        throw new PcibackError('FUNCTION-IN-USE', 'it belongs to domain 3', 'detach it');
      },
      break: () => Promise.reject(new Error('a defect')),
    });
    const client = await connectClient();
    await expect(client.call('refuse')).rejects.toMatchObject({
      reason: 'FUNCTION-IN-USE',
      message: 'it belongs to domain 3',
      remedy: 'detach it',
    });
    await expect(client.call('break')).rejects.toMatchObject({ reason: 'INTERNAL', message: 'a defect' });
  });

  it('says which methods there are', async () => {
    await serve({ status: () => 1, hide: () => 1 });
    const client = await connectClient();
    await expect(client.call('toString')).rejects.toMatchObject({
      reason: 'USAGE',
      message: "there is no method 'toString'",
      remedy: 'methods are status, hide',
    });
  });

  it('is matched with its answer when several are under way, from several clients', async () => {
    await serve({ echo: ({ value }) => value });
    const clients = await Promise.all(Array.from({ length: 10 }, connectClient));
    const answers = await Promise.all(
      clients.flatMap((client, from) =>
        [0, 1, 2].map((value) => client.call('echo', { value: `${from} ${value}` })),
      ),
    );
    expect(answers).toEqual(clients.flatMap((_, from) => [0, 1, 2].map((value) => `${from} ${value}`)));
  });

  it('takes large answers', async () => {
    const large = 'x'.repeat(3_000_000);
    await serve({ large: () => large });
    expect(await (await connectClient()).call('large')).toBe(large);
  });

  it('times out, and the connection goes on', async () => {
    await serve({
      never: ({ ms }) => new Promise((resolve) => setTimeout(resolve, Number(ms))),
      quick: () => 1,
    });
    const client = await connectClient();
    await expect(client.call('never', { ms: 300 }, { timeoutMs: 20 })).rejects.toMatchObject({
      reason: 'TIMED-OUT',
    });
    expect(await client.call('quick')).toBe(1);
  });

  it('can be interrupted', async () => {
    await serve({ never: () => new Promise(() => {}) });
    const client = await connectClient();
    const interrupt = new AbortController();
    const called = client.call('never', {}, { signal: interrupt.signal });
    interrupt.abort(new Error('interrupted'));
    await expect(called).rejects.toThrow('interrupted');
  });

  it('fails when the daemon goes away', async () => {
    const server = await serve({ never: () => new Promise(() => {}) });
    const client = await connectClient();
    const called = client.call('never');
    server.close();
    await expect(called).rejects.toMatchObject({ reason: 'NO-DAEMON' });
    await expect(client.call('never')).rejects.toMatchObject({ reason: 'NO-DAEMON' });
  });

  it('fails when the answer makes no sense', async () => {
    const server = createServer((socket) => void socket.end('rubbish\n')).listen(path);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    await expect((await connectClient()).call('x')).rejects.toMatchObject({ reason: 'NO-DAEMON' });
  });
});

describe('the socket', () => {
  it('says that no daemon is there when it is missing or left over', async () => {
    await expect(ControlClient.connect(path)).rejects.toMatchObject({
      reason: 'NO-DAEMON',
      remedy: 'start one: pciback serve',
    });
    await writeFile(path, '');
    await expect(ControlClient.connect(path)).rejects.toMatchObject({ reason: 'NO-DAEMON' });
  });

  it('belongs to one user, and is gone after the daemon', async () => {
    const server = await serve({});
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    server.close();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  it('is not taken from a daemon that answers', async () => {
    await serve({ first: () => 1 });
    await expect(ControlServer.listen(path, {})).rejects.toMatchObject({ reason: 'DAEMON-RUNNING' });
    expect(await (await connectClient()).call('first')).toBe(1);
  });

  it('replaces what a killed daemon has left', async () => {
    await writeFile(path, '');
    await serve({ first: () => 1 });
    expect(await (await connectClient()).call('first')).toBe(1);
  });

  it('is taken by a successor from a daemon that still answers', async () => {
    const first = await serve({ first: () => 1 });
    const second = await ControlServer.listen(path, { second: () => 2 }, {}, { isSuccessor: true });
    onTestFinished(() => second.close());
    expect(await (await connectClient()).call('second')).toBe(2);
    first.close();
    expect(await (await connectClient()).call('second')).toBe(2);
  });

  it('is left to a successor that has replaced it', async () => {
    const first = await serve({});
    await rm(path);
    await serve({ second: () => 2 });
    first.close();
    expect(await (await connectClient()).call('second')).toBe(2);
  });

  it('cannot be made where there is no directory, or under a name too long', async () => {
    await expect(ControlServer.listen(join(path, 'x', 'y'), {})).rejects.toMatchObject({
      reason: 'BAD-DIRECTORY',
    });
    await expect(ControlServer.listen(`${path}${'x'.repeat(120)}`, {})).rejects.toMatchObject({
      reason: 'BAD-DIRECTORY',
    });
  });
});

describe('a client that does not keep to the protocol', () => {
  it.each([
    'rubbish\n',
    '[]\n',
    '{"id":"1","method":"x"}\n',
    '{"id":1}\n',
    '{"id":1,"method":"x","params":[]}\n',
    'null\n',
  ])('is told so: %j', async (line) => {
    await serve({});
    expect(JSON.parse(await exchange(line))).toMatchObject({ id: null, error: { reason: 'USAGE' } });
  });

  it('gets no further than the longest line', async () => {
    await serve({});
    const socket = connect(path);
    socket.write('x'.repeat(0x1_0001));
    expect(JSON.parse(await text(socket))).toMatchObject({
      error: { message: 'a request has at most 65536 bytes' },
    });
  });

  it('disturbs nobody when it disconnects in the middle', async () => {
    await serve({ slow: () => new Promise((resolve) => setTimeout(resolve, 20)), quick: () => 1 });
    const socket = connect(path);
    socket.write('{"id":1,"method":"slow"}\n{"id":2,"meth', () => socket.destroy());
    await once(socket, 'close');
    expect(await (await connectClient()).call('quick')).toBe(1);
  });
});

describe('lines', () => {
  async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  it('come out the same however the bytes are cut', async () => {
    const line = fc.string({ unit: 'grapheme' }).filter((each) => !each.includes('\n'));
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 7 }), async (lines, size) => {
        const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
        const found: string[] = [];
        for await (const each of splitLines(pieces(bytes, size), 10_000)) found.push(each);
        expect(found).toEqual(lines);
      }),
    );
  });

  it.each([1, 3, 100])('longer than allowed are refused, in pieces of %i', async (size) => {
    const read = async (length: number): Promise<string | undefined> =>
      (await splitLines(pieces(Buffer.from(`${'x'.repeat(length)}\n`), size), 10).next()).value ?? undefined;
    expect(await read(10)).toBe('xxxxxxxxxx');
    await expect(read(11)).rejects.toThrow(LineTooLong);
  });

  it('are requests when they have an id and a method', () => {
    expect(parseRequest('{"id":7,"method":"status","params":{"a":1}}')).toEqual({
      id: 7,
      method: 'status',
      params: { a: 1 },
    });
    expect(parseRequest('{"id":7,"method":"status"}')).toEqual({ id: 7, method: 'status', params: {} });
  });
});
