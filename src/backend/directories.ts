/** What the back-end keeps in the file system. */
import { join } from 'node:path';
import { stateFiles } from '../host/index.ts';
import { makeDirectory, unusable } from './make-directory.ts';

/** Lays out an empty hypervisor in the directory; domain 0 is always there. Throws BAD-DIRECTORY. */
export function prepareLoopback(directory: string): void {
  for (const part of ['dom', 'gnt', 'evt', 'evt/0', 'xenstored'])
    makeDirectory(join(directory, part), 'shared');
  const self = join(directory, 'dom', '0');
  if (isRunning(self)) return;
  try {
    stateFiles.write(self, running);
  } catch (error) {
    throw unusable(directory, error);
  }
}

const running = 'running';

function isRunning(path: string): boolean {
  try {
    return Buffer.from(stateFiles.read(path)).toString('latin1') === running;
  } catch {
    return false;
  }
}
