/**
 * Files in directories to which somebody else may be able to write as well. No symbolic link is followed in the last component of a
 * name, nothing is opened that somebody else made, and a file is replaced as a whole: a reader after a crash finds the old contents
 * or the new ones.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** No file that is kept is longer; what was put in the place of one may never end. */
const mostBytes = 0x10_0000;

/** What is done to the files of a state directory. Every operation throws the error of the operating system. */
export interface StateFiles {
  /** Makes a directory for this user alone, and what is missing above it. */
  makeDirectory(path: string): void;
  /** The names in a directory. */
  list(directory: string): readonly string[];
  read(path: string): Uint8Array;
  /** Replaces a file as a whole, or makes it. */
  write(path: string, contents: Uint8Array | string): void;
  /** Removes a file; one that is not there is removed already. */
  remove(path: string): void;
  /** Renames what is at `path`, whatever it is, so that it can be looked at and something else can take its place. */
  setAside(path: string): void;
}

/** Ends the names of what was set aside. */
export const asideSuffix = '.damaged';

export const stateFiles: StateFiles = {
  makeDirectory(path) {
    requireOurs(path, make(path) ?? lstatSync(path));
  },
  list: (directory) => readdirSync(directory),
  read(path) {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const status = fstatSync(fd);
      if (!status.isFile()) throw refusal(path, 'EISDIR', 'is no regular file');
      if (status.size > mostBytes) throw refusal(path, 'EFBIG', `is longer than ${mostBytes} bytes`);
      requireOwn(path, status);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  },
  write(path, contents) {
    const making = `${path}.new`;
    const fd = create(making);
    try {
      try {
        writeFileSync(fd, contents);
      } finally {
        closeSync(fd);
      }
      renameSync(making, path);
    } catch (error) {
      attempt(() => unlinkSync(making));
      throw error;
    }
  },
  remove: removeFile,
  setAside(path) {
    try {
      renameSync(path, `${path}${asideSuffix}`);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  },
};

/**
 * The directory that an administrator named, made if need be. It may be reached through links; it has to be this user's. Throws the
 * error of the operating system.
 */
export function makeNamedDirectory(path: string): void {
  requireOurs(path, make(path) ?? statSync(path));
}

/** Makes a directory that belongs to everybody who takes part. A symbolic link in its place is refused. */
export function makeSharedDirectory(path: string): void {
  requireDirectory(path, make(path) ?? lstatSync(path));
}

/** Leftovers of a process that was killed are removed first, and never opened. */
function create(path: string): number {
  const open = (): number => openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    return open();
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    removeFile(path);
    return open();
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/**
 * Undefined when the directory was there, else what was made. Node's own recursive mkdir goes round in circles for ever where no
 * directory can be made, as in /proc. Another thread may make the same directories at the same time, so that a second try decides.
 */
function make(path: string, isSecondTry = false): Stats | undefined {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return undefined;
    if (codeOf(error) !== 'ENOENT' || isSecondTry) throw error;
    if (!existsSync(dirname(path))) make(dirname(path));
    return make(path, true);
  }
  return lstatSync(path);
}

function requireDirectory(path: string, status: Stats): void {
  if (status.isSymbolicLink()) throw refusal(path, 'ELOOP', 'is a symbolic link');
  if (!status.isDirectory()) throw refusal(path, 'ENOTDIR', 'is no directory');
}

function requireOurs(path: string, status: Stats): void {
  requireDirectory(path, status);
  requireOwn(path, status);
}

function requireOwn(path: string, { uid }: Stats): void {
  if (uid !== process.geteuid?.()) throw refusal(path, 'EPERM', `belongs to another user (${uid})`);
}

const refusal = (path: string, code: string, what: string): Error =>
  Object.assign(new Error(`${code}: ${path} ${what}`), { code, path });

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** For what may fail and changes nothing then. */
function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // The error that led here is the one to tell of.
  }
}
