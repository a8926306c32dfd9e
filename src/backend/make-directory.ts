import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { PcibackError } from '../errors.ts';

/** Makes a directory and what is missing above it. Throws BAD-DIRECTORY. */
export function makeDirectory(directory: string): void {
  try {
    make(directory);
  } catch (error) {
    throw unusable(directory, error);
  }
}

export const unusable = (directory: string, cause: unknown): PcibackError =>
  new PcibackError(
    'BAD-DIRECTORY',
    `${directory} cannot be used: ${(cause as Error).message}`,
    'name a directory that can be written',
    { cause },
  );

/** Node's own recursive mkdir goes round in circles for ever where no directory can be made, as in /proc. */
function make(directory: string): void {
  try {
    mkdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(directory).isDirectory()) return;
    if (code !== 'ENOENT' || existsSync(dirname(directory))) throw error;
    make(dirname(directory));
    mkdirSync(directory);
  }
}
