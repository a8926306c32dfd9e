/** What the back-end keeps in the file system. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, unusable } from './make-directory.ts';

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
