/** Serves metrics over HTTP: `/metrics` for Prometheus, `/healthz` for whoever keeps the daemon running. */
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import { PcibackError } from '../errors.ts';
import { type ListenAddress, resolveListenAddress } from './listen-address.ts';
import type { Metrics } from './metrics.ts';

/** Scrapers are few and ask short questions; whoever else finds the port gets no more of the daemon than this. */
const limits = {
  connections: 16,
  headerBytes: 8192,
  requestMs: 2000,
  idleMs: 10_000,
} as const;

export interface MetricsServer {
  /** `http://127.0.0.1:9110/metrics`, with the port that was taken. */
  readonly url: string;
  /** Stops listening and ends all connections. */
  close(): void;
}

/** Listens. Rejects with USAGE or CANNOT-LISTEN. */
export async function serveMetrics(metrics: Metrics, where: ListenAddress): Promise<MetricsServer> {
  const host = await resolveListenAddress(where);
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.requestMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.requestMs / 2,
    },
    (request, response) => void answer(metrics, request, response),
  );
  server.maxConnections = limits.connections;
  // A reader that does not read is no reason to keep an answer.
  server.setTimeout(limits.idleMs);
  try {
    server.listen({ host, port: where.port, exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const remedies: Readonly<Record<string, string>> = {
      EADDRINUSE: 'another program listens there: choose another port',
      EACCES: 'choose a port above 1023',
    };
    throw new PcibackError(
      'CANNOT-LISTEN',
      `metrics cannot be served at ${where.host} port ${where.port}: ${code}`,
      remedies[code ?? ''] ?? 'choose an address of this machine',
      { cause },
    );
  }
  const { address, port } = server.address() as AddressInfo;
  return {
    url: `http://${isIPv6(address) ? `[${address}]` : address}:${port}/metrics`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(metrics: Metrics, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reply = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
    response.end(text);
  };
  if (request.method !== 'GET') {
    // Nobody reads what comes with it.
    reply(405, 'only GET\n', { Allow: 'GET', Connection: 'close' });
    return;
  }
  const path = request.url?.split('?', 1)[0];
  try {
    if (path === '/metrics') reply(200, await metrics.scrape(), { 'Content-Type': metrics.contentType });
    else if (path === '/healthz')
      reply(metrics.supervisor === 'ready' ? 200 : 503, `${metrics.supervisor}\n`);
    else reply(404, 'there are /metrics and /healthz\n');
  } catch (error) {
    reply(500, `${error instanceof Error ? error.message : String(error)}\n`);
  }
}
