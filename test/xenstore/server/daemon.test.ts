import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { XenstoreClient } from '../../../src/xenstore/index.ts';
import { runXenstored, Xenstored } from '../../../src/xenstore/server/index.ts';
import { encodeMessage, encodePathAndValue, encodeStrings, MessageType } from '../../../src/xenstore/wire.ts';
import { RawClient } from '../raw-client.ts';

let directory: string;
let daemon: Xenstored;
const clients: (XenstoreClient | RawClient)[] = [];

const dom = (domid: number | string): string => join(directory, 'dom', String(domid));
const socket = (name: string): string => join(directory, 'xenstored', name);

async function client(name = 'socket'): Promise<XenstoreClient> {
  const made = await XenstoreClient.connect({ path: socket(name), reconnect: false });
  clients.push(made);
  return made;
}

async function raw(name = 'socket'): Promise<RawClient> {
  const made = await RawClient.open(socket(name));
  clients.push(made);
  return made;
}

/** Sets a watch, and then resolves with a function that resolves when it rings the next time. */
async function doorbell(xenstore: XenstoreClient, path: string): Promise<() => Promise<void>> {
  let rung = (): void => {};
  const ring = (): Promise<void> => new Promise((resolve) => (rung = resolve));
  const set = ring();
  xenstore.watch(path).subscribe({ next: () => rung(), error: () => {} });
  await set;
  let next = ring();
  return async () => {
    await next;
    next = ring();
  };
}

/** Makes a domain and waits for its introduction. */
async function begin(xenstore: XenstoreClient, domid: number): Promise<void> {
  const announced = await doorbell(xenstore, '@introduceDomain');
  writeFileSync(dom(domid), 'running');
  await announced();
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'xs-'));
  mkdirSync(join(directory, 'dom'));
  daemon = await Xenstored.start({ directory });
});

afterEach(() => {
  for (const each of clients.splice(0)) each.close();
  daemon.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('domains are files', () => {
  test('a file that appears introduces its domain, whose socket is there when that is announced', async () => {
    const dom0 = await client();
    const introduced = await doorbell(dom0, '@introduceDomain');
    writeFileSync(`${dom(5)}.tmp`, 'running\n');
    renameSync(`${dom(5)}.tmp`, dom(5));
    await introduced();
    expect(lstatSync(socket('dom5')).mode & 0o777).toBe(0o600);
    expect(await dom0.isIntroduced(5)).toBe(true);
    await dom0.write('/local/domain/5/name', 'five');
    await dom0.setPerms('/local/domain/5/name', ['n0', 'r5']);
    const guest = await client('dom5');
    expect(await guest.read('name')).toBe('five');
    await expect(guest.write('name', 'six')).rejects.toMatchObject({ code: 'EACCES' });
  });

  test('shutdown, dying and removal are announced; the last two take socket, connections and nodes away', async () => {
    const dom0 = await client();
    for (const [domid, last] of [
      [5, 'dying'],
      [6, undefined],
    ] as const) {
      await begin(dom0, domid);
      await dom0.mkdir(`/local/domain/${domid}`);
      await dom0.setPerms(`/local/domain/${domid}`, [`n${domid}`]);
      const guest = await client(`dom${domid}`);
      await guest.write('data', 'x');

      const released = await doorbell(dom0, '@releaseDomain');
      writeFileSync(dom(domid), 'shutdown 0\n');
      await released();
      expect(await guest.read('data')).toBe('x');

      if (last) writeFileSync(dom(domid), last);
      else rmSync(dom(domid));
      await released();
      expect(await dom0.isIntroduced(domid)).toBe(false);
      expect(await dom0.directory('/local/domain')).toEqual([]);
      expect(existsSync(socket(`dom${domid}`))).toBe(false);
      await expect(guest.read('data')).rejects.toMatchObject({ reason: 'NO-XENSTORE' });
    }
  });

  test('names that are no plain decimal domain id are ignored, and so is what is no file', async () => {
    const dom0 = await client();
    const introduced = await doorbell(dom0, '@introduceDomain');
    for (const name of ['05', '+5', '5.tmp', '0x5', '32752', '99999', '-1', ' 5', 'five'])
      writeFileSync(dom(name), 'running');
    mkdirSync(dom(6));
    symlinkSync('/etc/hostname', dom(7));
    writeFileSync(dom(32751), 'running');
    await introduced();
    await dom0.read('/');
    expect(readdirSync(join(directory, 'xenstored')).sort()).toEqual(['dom32751', 'socket']);
  });

  test('domains that were there first are introduced when the daemon is ready', async () => {
    daemon.close();
    writeFileSync(dom(5), 'running');
    writeFileSync(dom(6), 'dying');
    daemon = await Xenstored.start({ directory });
    expect(readdirSync(join(directory, 'xenstored')).sort()).toEqual(['dom5', 'socket']);
  });
});

describe('the daemon and its directory', () => {
  test('a second one is refused, and the first goes on', async () => {
    await expect(Xenstored.start({ directory })).rejects.toMatchObject({ reason: 'DAEMON-RUNNING' });
    expect(await (await client()).directory('/')).toEqual(['tool']);
  });

  test('sockets that a killed one left behind are replaced, and nothing else is touched', async () => {
    daemon.close();
    const killed = createServer().listen(socket('killed'));
    await once(killed, 'listening');
    // The file stays under its other names when the server is closed, as after a kill.
    for (const name of ['socket', 'dom9', 'dom9.1234', 'socket.1234'])
      linkSync(socket('killed'), socket(name));
    killed.close();
    writeFileSync(socket('note'), '');
    daemon = await Xenstored.start({ directory });
    expect(readdirSync(join(directory, 'xenstored')).sort()).toEqual(['note', 'socket']);
    expect(await (await client()).directory('/')).toEqual(['tool']);
  });

  test('closing leaves no socket behind and ends the connections', async () => {
    const dom0 = await client();
    await begin(dom0, 5);
    const lost = new Promise<void>((resolve) => dom0.state$.subscribe({ complete: resolve }));
    daemon.close();
    daemon.close();
    await lost;
    await daemon.ended;
    expect(readdirSync(join(directory, 'xenstored'))).toEqual([]);
  });

  test('it ends by itself when the directory is gone', async () => {
    rmSync(directory, { recursive: true });
    await daemon.ended;
  });

  test('it ends by itself when another has taken its place, whose socket it leaves alone', async () => {
    rmSync(socket('socket'));
    const other = createServer().listen(socket('socket'));
    await once(other, 'listening');
    await daemon.ended;
    expect(existsSync(socket('socket'))).toBe(true);
    other.close();
  });

  test('it ends when it is asked to, after the answer', async () => {
    const dom0 = await client();
    expect(await dom0.control('stop')).toBe('OK');
    await daemon.ended;
  });

  test('it runs until its signal is aborted', async () => {
    daemon.close();
    const abort = new AbortController();
    let ready = 0;
    const running = runXenstored({
      directory,
      signal: abort.signal,
      onReady: () => {
        ready++;
        abort.abort();
      },
    });
    await running;
    expect(ready).toBe(1);
    expect(readdirSync(join(directory, 'xenstored'))).toEqual([]);
  });

  test.each(['missing', 'x'.repeat(90)])('a directory that cannot be used is refused: %s', async (name) => {
    const path = join(directory, name);
    if (name !== 'missing') mkdirSync(path);
    await expect(Xenstored.start({ directory: path })).rejects.toMatchObject({ reason: 'BAD-DIRECTORY' });
  });

  test('what is in the way of its folders or its socket is named', async () => {
    daemon.close();
    rmSync(join(directory, 'xenstored'), { recursive: true });
    writeFileSync(join(directory, 'xenstored'), '');
    await expect(Xenstored.start({ directory })).rejects.toMatchObject({ reason: 'BAD-DIRECTORY' });
    rmSync(join(directory, 'xenstored'));
    mkdirSync(socket('socket'), { recursive: true });
    writeFileSync(dom(5), 'running');
    await expect(Xenstored.start({ directory })).rejects.toMatchObject({ reason: 'BAD-DIRECTORY' });
    expect(readdirSync(join(directory, 'xenstored'))).toEqual(['socket']);
  });
});

describe('clients of all kinds', () => {
  test('one that announces too long a message loses its connection, and only that', async () => {
    const dom0 = await client();
    const bad = connect(socket('socket'));
    await once(bad, 'connect');
    const header = encodeMessage({ type: 2, requestId: 1, transactionId: 0, payload: Buffer.alloc(0) });
    header.writeUInt32LE(4097, 12);
    bad.on('error', () => {});
    bad.write(header);
    await once(bad, 'close');
    expect(await dom0.read('/')).toBe('');
  });

  test('garbage by the hundred disturbs nobody', async () => {
    const dom0 = await client();
    const writes = Array.from({ length: 200 }, async (_, seed) => {
      const noise = connect(socket('socket'));
      noise.on('error', () => {});
      noise.end(
        Buffer.from(
          Array.from({ length: 60 }, (__, index) => (seed * 31 + index * 17) & (index % 4 ? 0 : 255)),
        ),
      );
      noise.resume();
      await once(noise, 'close');
    });
    await Promise.all(writes);
    expect(await dom0.directory('/')).toContain('tool');
  });

  test('a guest that reads neither replies nor events holds little, and costs others nothing', async () => {
    const dom0 = await client();
    await begin(dom0, 5);
    await dom0.mkdir('/local/domain/5');
    await dom0.setPerms('/local/domain/5', ['n5']);
    const guest = connect(socket('dom5'));
    await once(guest, 'connect');
    guest.on('error', () => {});
    const closed = once(guest, 'close');
    const send = (type: number, payload: Uint8Array): boolean =>
      guest.write(encodeMessage({ type, requestId: 1, transactionId: 0, payload }));
    send(MessageType.WATCH, encodeStrings('data', 'token'));
    guest.pause();
    // Names that come and go: each is another event, so none can be merged.
    const tail = 'x'.repeat(900);
    for (let round = 0; round < 4000; round += 100) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          await dom0.write(`/local/domain/5/data/${round + index}${tail}`, '');
          await dom0.rm(`/local/domain/5/data/${round + index}${tail}`);
        }),
      );
    }
    guest.resume();
    await closed;
    expect(await dom0.read('/local/domain/5/data')).toBe('');
    expect(await dom0.isIntroduced(5)).toBe(true);
  });

  test('requests wait while their replies are not read, and are all answered in the end', async () => {
    const dom0 = await client();
    await dom0.write('/big', 'v'.repeat(4000));
    const slow = connect(socket('socket'));
    await once(slow, 'connect');
    slow.pause();
    const count = 5000;
    const request = encodeMessage({
      type: MessageType.READ,
      requestId: 1,
      transactionId: 0,
      payload: encodeStrings('/big'),
    });
    slow.write(Buffer.concat(Array.from({ length: count }, () => request)));
    for (let round = 0; round < 100; round++) await dom0.read('/big');
    let received = 0;
    slow.on('data', (bytes) => {
      received += bytes.length;
      if (received === count * 4016) slow.end();
    });
    slow.resume();
    await once(slow, 'close');
    expect(received).toBe(count * 4016);
  });

  test('a guest gets 32 connections', async () => {
    const dom0 = await client();
    await begin(dom0, 5);
    const opened = await Promise.all(Array.from({ length: 40 }, () => raw('dom5')));
    const answers = await Promise.all(
      opened.map((each) => each.exchange(MessageType.READ, encodeStrings('x'))),
    );
    expect(answers.filter((answer) => answer?.length === 1)).toHaveLength(32);
  });

  test('a listing of a thousand domains comes whole', async () => {
    const dom0 = await raw();
    for (let domid = 1; domid <= 1000; domid++) {
      await dom0.exchange(MessageType.WRITE, encodePathAndValue(`/local/domain/${domid}/name`, 'x'));
    }
    expect(await (await client()).directory('/local/domain')).toEqual(
      Array.from({ length: 1000 }, (_, index) => String(index + 1)).sort(),
    );
  });
});
