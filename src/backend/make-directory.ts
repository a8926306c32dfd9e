import { makeNamedDirectory, makeSharedDirectory, stateFiles } from '../host/index.ts';
import { PcibackError } from '../errors.ts';

/** Whose a directory is: this user's alone, this user's under a name that an administrator chose, or of all who take part. */
type Kind = 'own' | 'named' | 'shared';

const makers: Readonly<Record<Kind, (directory: string) => void>> = {
  own: (directory) => stateFiles.makeDirectory(directory),
  named: makeNamedDirectory,
  shared: makeSharedDirectory,
};

/** Makes a directory and what is missing above it. Throws BAD-DIRECTORY. */
export function makeDirectory(directory: string, kind: Kind): void {
  try {
    makers[kind](directory);
  } catch (error) {
    throw unusable(directory, error);
  }
}

export const unusable = (directory: string, cause: unknown): PcibackError =>
  new PcibackError(
    'BAD-DIRECTORY',
    `${directory} cannot be used: ${(cause as Error).message}`,
    'name a directory of this user that can be written',
    { cause },
  );
