import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseListenAddress } from '../../src/monitor/listen-address.ts';
import { Metrics } from '../../src/monitor/metrics.ts';
import { type MetricsServer, serveMetrics } from '../../src/monitor/metrics-server.ts';
import { readExposition } from './exposition.ts';

async function serve(
  where: { host?: string; port?: number; anyAddress?: boolean } = {},
  supervisor = 'ready',
): Promise<MetricsServer> {
  const source = {
    supervisor,
    functions: () => [],
    function: () => undefined,
    guests: () => [],
    xenstore: () => undefined,
  };
  const metrics = new Metrics(source, { version: '0' });
  const server = await serveMetrics(metrics, { host: '127.0.0.1', port: 0, ...where });
  onTestFinished(() => server.close());
  return server;
}

/** Sends bytes and returns all that comes back. */
async function exchange({ url }: MetricsServer, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.write(bytes);
  return text(socket);
}

describe('metrics over HTTP', () => {
  it('are the exposition format, under a port of the system’s choice', async () => {
    const { url } = await serve();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+\/metrics$/);
    const response = await fetch(url);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(readExposition(await response.text()).size).toBeGreaterThan(10);
  });

  it('can be had of an IPv6 loopback address, and by name', async () => {
    expect((await serve({ host: '::1' })).url).toMatch(/^http:\/\/\[::1\]:/);
    expect((await fetch((await serve({ host: 'localhost' })).url)).status).toBe(200);
  });

  it.each([
    ['ready', 200],
    ['severed', 503],
    ['adopting', 503],
  ])('come with the health of a daemon that is %s', async (state, status) => {
    const { url } = await serve({}, state);
    const response = await fetch(new URL('/healthz', url));
    expect([response.status, await response.text()]).toEqual([status, `${state}\n`]);
  });

  it('are all there is', async () => {
    const { url } = await serve();
    expect((await fetch(new URL('/', url))).status).toBe(404);
    expect((await fetch(`${url}?x=1`)).status).toBe(200);
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      const response = await fetch(url, { method });
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET']);
    }
  });
});

describe('an address', () => {
  it.each(['0.0.0.0', '::', '8.8.8.8', '::ffff:8.8.8.8', '169.254.1.1'])(
    'that others can reach is refused: %s',
    async (host) => {
      await expect(serve({ host })).rejects.toMatchObject({
        reason: 'USAGE',
        message: expect.stringContaining(host) as string,
        remedy: expect.stringContaining('--metrics-any-address') as string,
      });
    },
  );

  it('that others can reach is taken when that is meant', async () => {
    const { url } = await serve({ host: '0.0.0.0', anyAddress: true });
    expect(url).toMatch(/^http:\/\/0\.0\.0\.0:/);
  });

  it('that is taken, or is not this machine’s, is told so', async () => {
    const { url } = await serve();
    const port = Number(new URL(url).port);
    await expect(serve({ port })).rejects.toMatchObject({
      reason: 'CANNOT-LISTEN',
      message: `metrics cannot be served at 127.0.0.1 port ${port}: EADDRINUSE`,
      remedy: 'another program listens there: choose another port',
    });
    await expect(serve({ host: '192.0.2.1', anyAddress: true })).rejects.toMatchObject({
      reason: 'CANNOT-LISTEN',
    });
    await expect(serve({ host: 'no such host' })).rejects.toMatchObject({ reason: 'CANNOT-LISTEN' });
  });

  it.each([
    ['127.0.0.1:9110', { host: '127.0.0.1', port: 9110 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['[::1]:65535', { host: '::1', port: 65_535 }],
  ])('is read: %s', (written, meant) => {
    expect(parseListenAddress(written)).toEqual(meant);
  });

  it.each(['', '9110', ':9110', '127.0.0.1', '127.0.0.1:', '::1:9110', '[::1]', '[x]:1', 'a:65536', 'a:-1'])(
    'is refused: %j',
    (written) => {
      expect(() => parseListenAddress(written)).toThrow(expect.objectContaining({ reason: 'USAGE' }));
    },
  );
});

describe('whoever finds the port', () => {
  it('gets no headers of any length in', async () => {
    const server = await serve();
    const answer = await exchange(server, `GET /metrics HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('gets no time to think about a request', async () => {
    const answer = await exchange(await serve(), 'GET /metrics HTTP/1.1\r\nHost: a\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('gets a few connections', async () => {
    const server = await serve();
    const { hostname, port } = new URL(server.url);
    const sockets = Array.from({ length: 20 }, () => connect(Number(port), hostname).on('error', () => {}));
    onTestFinished(() => void sockets.map((socket) => socket.destroy()));
    const closed = new Set<unknown>();
    await new Promise<void>((resolve) => {
      for (const socket of sockets) {
        socket.once('close', () => {
          closed.add(socket);
          if (closed.size === 4) resolve();
        });
        socket.resume();
      }
    });
    sockets.find((socket) => !closed.has(socket))?.destroy();
    // There is room again.
    await expect.poll(async () => (await fetch(server.url)).status).toBe(200);
  });

  it('is cut off when the server closes', async () => {
    const server = await serve();
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'data');
    server.close();
    await once(socket, 'close');
    await expect(fetch(server.url)).rejects.toThrow('fetch failed');
  });
});
