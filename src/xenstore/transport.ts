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
    const socket = await connectPatiently(path, (bytes) => handlers.received(bytes));
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

type Receive = (bytes: Uint8Array) => void;

/** C xenstored listens with a backlog of one: in a burst of connections EAGAIN means "again", not "nobody there". */
async function connectPatiently(path: string, receive: Receive): Promise<Socket> {
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new PcibackError(
      'NO-XENSTORE',
      `the socket path ${path} is longer than ${maxSocketPath} bytes`,
      'use a directory with a shorter name',
    );
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await connectOnce(path, receive);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code !== 'EAGAIN' || attempt === 50) throw unreachable(path, code, error);
      await delay(Math.random() * 2 * attempt);
    }
  }
}

/** Bytes that one read takes at most. */
const chunkSize = 65536;

/**
 * What is read does not go through a stream, which is as much work as all the rest: a daemon sends the header and the payload of a message
 * separately, and each is a read.
 */
function connectOnce(path: string, receive: Receive): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const callback = (length: number, chunk: Uint8Array): boolean => {
      // The next read overwrites it, and payloads are kept.
      receive(chunk.slice(0, length));
      return true;
    };
    const socket = connect({ path, onread: { buffer: new Uint8Array(chunkSize), callback } });
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
