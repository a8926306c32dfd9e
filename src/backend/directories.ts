/** What the back-end keeps in the file system. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Platform } from '../host/index.ts';
import { makeDirectory, unusable } from './make-directory.ts';
import { FileStore } from './store.ts';

/** Lays out an empty hypervisor in the directory; domain 0 is always there. */
export function prepareLoopback(directory: string): void {
  for (const part of ['dom', 'gnt', 'evt/0', 'xenstored', 'state']) makeDirectory(join(directory, part));
  const self = join(directory, 'dom', '0');
  try {
    writeFileSync(`${self}.new`, 'running');
    renameSync(`${self}.new`, self);
  } catch (error) {
    throw unusable(directory, error);
  }
}

/** Opens the list of event channels that are bound, and closes those of a predecessor that was killed. */
export function discardPorts(platform: Platform, stateDirectory: string): FileStore<number> {
  const ports = new FileStore(join(stateDirectory, 'port'), (value) => typeof value === 'number');
  for (const [domid, port] of ports.load((key) => ports.delete(key))) {
    platform.discardPort(port);
    ports.delete(domid);
  }
  return ports;
}
