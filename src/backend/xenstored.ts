/** The embedded xenstored as a process of its own: it outlives a killed daemon, as a real one does. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { lastValueFrom } from 'rxjs';
import { PcibackError } from '../errors.ts';
import { program } from '../package.ts';
import { socketAnswers } from '../unix-socket.ts';
import { XenstoreClient } from '../xenstore/index.ts';

export const socketOf = (directory: string): string => join(directory, 'xenstored', 'socket');

/**
 * Makes sure that a xenstored answers for the directory; starts one when none does. Says whether it had to. Rejects with
 * NO-XENSTORE.
 */
export async function ensureXenstored(directory: string): Promise<boolean> {
  if (await socketAnswers(socketOf(directory))) return false;
  // Not `detached`, which would also give it a session of its own: `leaveProcessGroup` says why that is no good.
  const options = ['--loopback', directory, '--own-group'];
  const child = spawn(process.execPath, [fileURLToPath(program('main')), 'xenstored', ...options], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const complaints: string[] = [];
  createInterface(child.stderr).on('line', (line) => complaints.push(line));
  try {
    await new Promise<void>((resolve, reject) => {
      createInterface(child.stdout).once('line', () => resolve());
      child.once('error', reject);
      child.once('exit', () => reject(new Error(complaints.at(-1) ?? 'it ended at once')));
    });
  } catch (error) {
    throw new PcibackError(
      'NO-XENSTORE',
      `the embedded xenstored did not start: ${(error as Error).message}`,
      `see what "pciback xenstored --loopback ${directory}" says`,
      { cause: error },
    );
  }
  // From here on it belongs to nobody: neither its output nor its end keeps this process.
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  return true;
}

/** Ends the embedded xenstored of the directory, whoever started it. Another xenstored that is there knows no `stop` and stays. */
export async function endXenstored(directory: string): Promise<void> {
  let client: XenstoreClient | undefined;
  try {
    client = await XenstoreClient.connect({ path: socketOf(directory), reconnect: false });
    const ended = lastValueFrom(client.state$, { defaultValue: 'closed' });
    await client.control('stop');
    await ended;
  } catch {
    // It is gone already, or it is somebody else's and knows no such command; an answer that its end cuts off is one, too.
  } finally {
    client?.close();
  }
}
