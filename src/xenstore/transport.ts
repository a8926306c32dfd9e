import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { PcibackError } from '../errors.ts';

/** A byte stream to a xenstored. The unix socket is one; the `/dev/xen/xenbus` character device can be another. */
export interface Transport {
  send(bytes: Uint8Array): void;
  /** Ends the stream at once. `closed` is not called afterwards. */
  close(): void;
}

/** What a transport reports. Nothing is reported after `closed`, which comes once. */
export interface TransportHandlers {
  received(bytes: Uint8Array): void;
  closed(cause?: Error): void;
}

/** Opens a new stream; rejects with NO-XENSTORE or NO-PERMISSION. */
export type OpenTransport = (handlers: TransportHandlers) => Promise<Transport>;

/** Where xenstored listens, found the way libxenstore finds it. */
export function xenstoredSocketPath(environment: NodeJS.ProcessEnv = process.env): string {
  const { XENSTORED_PATH, XENSTORED_RUNDIR } = environment;
  return XENSTORED_PATH || `${XENSTORED_RUNDIR || '/run/xenstored'}/socket`;
}

/** `sun_path` has 108 bytes, the last of them a NUL, and libuv cuts a longer path short without a word. */
export const maxSocketPath = 107;

/** A transport over the unix socket at `path`. */
export function unixSocket(path: string): OpenTransport {
  return async (handlers) => {
    const socket = await connectPatiently(path);
    socket.on('data', (bytes: Buffer) => handlers.received(bytes));
    let cause: Error | undefined;
    socket.on('error', (error) => (cause = error));
    let abandoned = false;
    socket.on('close', () => {
      if (!abandoned) handlers.closed(cause);
    });
    return {
      send: (bytes) => void socket.write(bytes),
      close: () => {
        abandoned = true;
        socket.destroy();
      },
    };
  };
}

/** C xenstored listens with a backlog of one: in a burst of connections EAGAIN means "again", not "nobody there". */
async function connectPatiently(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new PcibackError(
      'NO-XENSTORE',
      `the socket path ${path} is longer than ${maxSocketPath} bytes`,
      'use a directory with a shorter name',
    );
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await connectOnce(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code !== 'EAGAIN' || attempt === 50) throw unreachable(path, code, error);
      await delay(Math.random() * 2 * attempt);
    }
  }
}

function connectOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function unreachable(path: string, code: string, cause: unknown): PcibackError {
  if (code === 'EACCES' || code === 'EPERM') {
    return new PcibackError('NO-PERMISSION', `may not connect to xenstored at ${path}`, 'run as root', {
      cause,
    });
  }
  return new PcibackError(
    'NO-XENSTORE',
    `no xenstored answers at ${path} (${code})`,
    'start xenstored, or name its socket with XENSTORED_PATH',
    { cause },
  );
}
