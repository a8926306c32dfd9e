import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { concat, NEVER, of, Subject } from 'rxjs';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { ControlServer } from '../../src/monitor/control-server.ts';
import { ControlClient, type ControlStreams } from '../../src/monitor/index.ts';

let path: string;
beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pciback-stream-'));
  path = join(directory, 'control.sock');
  onTestFinished(() => rm(directory, { recursive: true }));
});

async function serve(streams: ControlStreams): Promise<ControlServer> {
  const server = await ControlServer.listen(path, { status: () => 'fine' }, streams);
  onTestFinished(() => server.close());
  return server;
}

async function connectClient(): Promise<ControlClient> {
  const client = await ControlClient.connect(path);
  onTestFinished(() => client.close());
  return client;
}

const collector = <Event>() => {
  const events: Event[] = [];
  return { events, lost: 0, event: (event: Event) => void events.push(event), dropped() {} };
};

describe('a stream', () => {
  it('brings events until it ends', async () => {
    await serve({ count: ({ from }) => of(from, 2, 3) });
    const heard = collector<number>();
    await (await connectClient()).listen('count', heard, { params: { from: 1 } });
    expect(heard.events).toEqual([1, 2, 3]);
  });

  it('leaves the connection free for calls', async () => {
    const source = new Subject<number>();
    await serve({ watch: () => source });
    const client = await connectClient();
    const heard = collector<number>();
    const listening = client.listen('watch', heard);
    expect(await client.call('status')).toBe('fine');
    source.next(7);
    expect(await client.call('status')).toBe('fine');
    expect(heard.events).toEqual([7]);
    source.complete();
    await listening;
  });

  it('is told to end by hanging up, and then costs nothing more', async () => {
    const source = new Subject<number>();
    await serve({ watch: () => concat(of(0), source) });
    const client = await connectClient();
    const stop = new AbortController();
    const heard = { ...collector<number>(), event: () => stop.abort() };
    await client.listen('watch', heard, { signal: stop.signal });
    // The server learns of it in its own time.
    while (source.observed) await new Promise(setImmediate);
    await expect(client.call('status')).rejects.toMatchObject({ reason: 'NO-DAEMON' });
  });

  it('ends when the server does, and is cut off when that dies', async () => {
    const server = await serve({ watch: () => concat(of(1), NEVER) });
    const heard = collector<number>();
    const client = await connectClient();
    const listening = client.listen('watch', heard);
    await client.call('status');
    server.close();
    await listening;
    expect(heard.events).toEqual([1]);
    await expect(client.listen('watch', heard)).rejects.toMatchObject({ reason: 'NO-DAEMON' });
  });

  it('is one a connection', async () => {
    await serve({ watch: () => NEVER });
    const client = await connectClient();
    const stop = new AbortController();
    const first = client.listen('watch', collector(), { signal: stop.signal });
    await expect(client.listen('watch', collector())).rejects.toMatchObject({ reason: 'USAGE' });
    stop.abort();
    await first;
  });

  it('is a method that an unknown one is told of', async () => {
    await serve({ watch: () => NEVER });
    await expect((await connectClient()).call('wtach')).rejects.toMatchObject({
      remedy: 'methods are status, watch',
    });
  });
});

describe('a reader that does not keep up', () => {
  it('loses events and is told how many, while nothing piles up', async () => {
    const source = new Subject<string>();
    await serve({ watch: () => source });
    const socket = connect(path);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    socket.write('{"id":1,"method":"watch"}\n');
    while (!source.observed) await new Promise(setImmediate);

    const memory = process.memoryUsage().arrayBuffers;
    const total = 20_000;
    for (let n = 0; n < total; n++) {
      source.next('x'.repeat(1000));
      if (n % 100 === 0) await new Promise(setImmediate);
    }
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(10_000_000);

    // It reads on: what was dropped is said where it is missing.
    let events = 0;
    let dropped = 0;
    for await (const line of createInterface({ input: socket })) {
      const reply = JSON.parse(line) as { event?: string; dropped?: number };
      if (reply.event === 'end') break;
      if (reply.event !== undefined) events += 1;
      dropped += reply.dropped ?? 0;
      if (reply.dropped !== undefined) setImmediate(() => source.next('end'));
    }
    expect(dropped).toBeGreaterThan(0);
    expect(events + dropped).toBe(total);
  });
});
