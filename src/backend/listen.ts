/** Where other processes can ask a daemon. */
import { dirname } from 'node:path';
import { PcibackError } from '../errors.ts';
import { stateDirectoryIn } from '../host/platform.ts';
import { ControlServer } from '../monitor/control-server.ts';
import { makeDirectory } from './make-directory.ts';
import { type Operations, daemonMethods, daemonStreams } from './methods.ts';
import type { Saver } from './saver.ts';

export interface Listening {
  readonly controlSocket: string;
  /** What is served: its own folder for the socket is made if need be. */
  readonly directory: string;
  /** A daemon that has just died may look as if it still answered. */
  readonly isSuccessor: boolean;
  /** Guests wait: they are served whether anybody can ask or not, and the socket is tried again later. */
  readonly isNeeded: boolean;
  readonly saver: Saver;
  /** Called with the server, at once or later. */
  readonly onListening: (server: ControlServer) => void;
}

/** Listens at the control socket. Rejects with DAEMON-RUNNING, and with BAD-DIRECTORY unless the daemon `isNeeded`. */
export async function listen(backend: Operations, how: Listening): Promise<void> {
  const { controlSocket, directory, isSuccessor, isNeeded, saver, onListening } = how;
  const attempt = async (): Promise<void> => {
    const folder = dirname(controlSocket);
    if (folder === stateDirectoryIn(directory)) makeDirectory(folder, 'own');
    const methods = [daemonMethods(backend), daemonStreams(backend)] as const;
    onListening(await ControlServer.listen(controlSocket, ...methods, { isSuccessor }));
  };
  try {
    await attempt();
  } catch (error) {
    if (!isNeeded || !(error instanceof PcibackError) || error.reason !== 'BAD-DIRECTORY') throw error;
    tryAgain(saver, controlSocket, attempt, error.cause ?? error);
  }
}

/** The saver says when, and tells of it as it does of files. */
function tryAgain(saver: Saver, path: string, attempt: () => Promise<void>, error: unknown): void {
  let isTrying = true;
  const again = async (): Promise<void> => {
    isTrying = true;
    try {
      await attempt();
      saver.save(path, () => undefined);
    } catch {
      isTrying = false;
    }
  };
  saver.save(path, () => {
    if (!isTrying) void again();
    throw error;
  });
  isTrying = false;
}
