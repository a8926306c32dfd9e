/**
 * Reading one file of a sysfs tree. A captured tree can hold anything, so a read has a limit, does not wait (a FIFO) and takes
 * no device; links may have become plain files with the name they pointed to, or the directories themselves.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { PcibackError } from '../errors.ts';

/** The bytes of a file, at most `limit`; undefined when there is no such file or it is not ours to read. */
export function readBytes(path: string, limit: number): Uint8Array | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(codeOf(error))) return undefined;
    throw unusable(path, messageOf(error));
  }
  try {
    if (!fstatSync(fd).isFile()) throw unusable(path, 'is not a regular file');
    const bytes = new Uint8Array(limit);
    let length = 0;
    for (;;) {
      const taken = readSync(fd, bytes, length, limit - length, length);
      length += taken;
      if (taken === 0 || length === limit) return bytes.subarray(0, length);
    }
  } catch (error) {
    throw error instanceof PcibackError ? error : unusable(path, messageOf(error));
  } finally {
    closeSync(fd);
  }
}

/** The trimmed text of an attribute, as long as sysfs lets one be: one page. */
export function readText(path: string): string | undefined {
  const bytes = readBytes(path, 4096);
  return bytes && Buffer.from(bytes).toString('latin1').trim();
}

/** The number in an attribute: decimal, or hex after `0x`. */
export function readNumber(path: string, largest: number): number | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  const value = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value <= largest)) throw unusable(path, `'${excerpt(text)}' is no number up to ${largest}`);
  return value;
}

/** The last component of what a link points to. Where the link was followed, `uevent` of the directory knows: `key`=name. */
export function readLinkName(path: string, key: string): string | undefined {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined) return undefined;
  if (entry.isSymbolicLink()) return basename(readlinkSync(path));
  if (!entry.isDirectory()) return basename(readText(path) ?? '');
  return readUevent(join(path, 'uevent'), key);
}

/** One value of a `uevent` attribute, whose lines are KEY=value. */
export function readUevent(path: string, key: string): string | undefined {
  const line = readText(path)
    ?.split('\n')
    .find((candidate) => candidate.startsWith(`${key}=`));
  return line?.slice(key.length + 1);
}

export const unusable = (path: string, problem: string): PcibackError =>
  new PcibackError(
    'BAD-FILE',
    `${path}: ${problem}`,
    'the function is left out; mend or capture the tree again',
  );

export const excerpt = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}...` : text);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
