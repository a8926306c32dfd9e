/** Files that are named on the command line. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { parseBootCfg, parseKernelCommandLine, PcibackError, type Problem } from '../toolstack/grammars.ts';
import { warn } from './failure.ts';

/** No file that people write is longer; a device, or a file that was not meant, may never end. */
const mostBytes = 0x10_0000;

/** Reads a whole file. Throws BAD-FILE with `remedy`, which says what file was expected. */
export const readText = (file: string, remedy: string): Promise<string> =>
  readStream(createReadStream(file), file, remedy);

/** Reads a stream to its end. Rejects with BAD-FILE, or with the reason of `signal`. */
export async function readStream(
  stream: Readable,
  name: string,
  remedy: string,
  signal?: AbortSignal,
): Promise<string> {
  const unreadable = (why: string, cause?: unknown): PcibackError =>
    new PcibackError('BAD-FILE', `${name} cannot be read: ${why}`, remedy, { cause });
  if (signal) addAbortSignal(signal, stream);
  const chunks: Buffer[] = [];
  let held = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      held += chunk.length;
      if (held > mostBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    signal?.throwIfAborted();
    const { code, message } = error as NodeJS.ErrnoException;
    throw unreadable(code ?? message, error);
  }
  if (held > mostBytes) throw unreadable('it is longer than 1 MiB');
  return Buffer.concat(chunks).toString();
}

/** Where in a file a mistake is, as compilers say it: `web.cfg:4:12`. */
export function placeOf(file: string, text: string, { at }: Problem): string {
  const lines = text.slice(0, at).split('\n');
  return `${file}:${lines.length}:${(lines.at(-1) ?? '').length + 1}`;
}

/** Warns of each mistake in a file with its place. */
export function warnOf(file: string, text: string, problems: readonly Problem[]): void {
  for (const each of problems) warn(`${placeOf(file, text, each)}: ${each.what}; ${each.remedy}`);
}

/**
 * The hide list in the entry of a NetBSD boot.cfg that is booted without a key pressed, or else in the first that loads a
 * kernel for Xen. Entries that are wrong are warned of and left out. Throws BAD-FILE.
 */
export async function readBootCfgHide(file: string): Promise<string> {
  const text = await readText(file, 'name a boot.cfg of NetBSD');
  const { chosen, entries } = parseBootCfg(text);
  const entry = chosen ?? entries[0];
  if (!entry)
    throw new PcibackError(
      'BAD-FILE',
      `${file} loads no kernel for Xen`,
      'name a boot.cfg with a load command',
    );
  warnOf(file, text, entry.parameters.problems);
  return entry.parameters.entries.map(({ at, length }) => text.slice(at, at + length)).join('');
}

/** The hide lists on the command line of the kernel that runs. Entries that are wrong are warned of and left out. */
export async function readKernelHide(file = '/proc/cmdline'): Promise<string> {
  const text = await readText(file, 'mount /proc');
  const { entries, problems } = parseKernelCommandLine(text);
  warnOf(file, text, problems);
  return entries.map(({ at, length }) => text.slice(at, at + length)).join('');
}
