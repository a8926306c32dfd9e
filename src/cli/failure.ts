import { PcibackError } from '../errors.ts';
import { plain } from '../text.ts';
import { standardError } from './standard.ts';

/** One line and nothing else, whatever is in the texts. */
const oneLine = (text: string): string => plain(text.replace(/\s*\n\s*/g, ' '));

/** Whatever somebody wrote, or a file contains, is recognised by its beginning. */
const most = { quoted: 60, message: 1200, remedy: 700 } as const;

const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 3)}...` : text;

/** With long quotations cut, and then the whole. An apostrophe within a word quotes nothing. */
export const elide = (text: string, length: number = most.message + most.remedy): string =>
  cut(
    text.replace(/(?<!\w)'([^']+)'(?!\w)/g, (_, quoted: string) => `'${cut(quoted, most.quoted)}'`),
    length,
  );

/** An error in few words: `REASON: what happened; what to do`. */
function summary(error: unknown): string {
  const message = elide(error instanceof Error ? error.message : String(error), most.message);
  if (error instanceof PcibackError)
    return `${error.reason}: ${message}; ${elide(error.remedy, most.remedy)}`;
  return `INTERNAL: ${message}; run it again with PCIBACK_DEBUG=1 for a trace, and report that`;
}

/** What an error looks like on the command line: `pciback: REASON: what happened; what to do`. */
export const failureLine = (error: unknown): string => oneLine(`pciback: ${summary(error)}`);

/** OUTPUT-FAILED for a command that has failed as well: both are told at once. */
export const withFailure = (failed: PcibackError, error: unknown): PcibackError =>
  new PcibackError(
    failed.reason,
    `${failed.message}; the command failed, too: ${summary(error)}`,
    failed.remedy,
    {
      cause: error,
    },
  );

const trace = (error: Error): readonly string[] => (error.stack ?? '').split('\n').map(plain);

const tell = (lines: readonly string[]): void =>
  standardError().write(lines.map((line) => `${line}\n`).join(''));

/** Tells of an error on standard error and returns the exit code for it. */
export function reportFailure(error: unknown): number {
  const isTraced = Boolean(process.env['PCIBACK_DEBUG']) && error instanceof Error;
  tell([failureLine(error), ...(isTraced ? trace(error) : [])]);
  return error instanceof PcibackError ? error.exitCode : 1;
}

/** Tells of a defect that nobody caught, with its trace. */
export function reportDefect(error: unknown): void {
  tell([failureLine(error), ...(error instanceof Error ? trace(error) : [])]);
}

const dropped = (lines: number): string => `pciback: warning: ${lines} warnings could not be printed`;

/** Tells of something that did not keep the command from being done. */
export const warn = (text: string): void =>
  standardError().offer(oneLine(`pciback: warning: ${elide(text)}`), dropped);
