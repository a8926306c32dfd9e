import { PcibackError } from '../errors.ts';

/** One line and nothing else, whatever is in the texts. */
const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').replace(/\p{Cc}/gu, '?');

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

/** What an error looks like on the command line: `pciback: REASON: what happened; what to do`. */
export function failureLine(error: unknown): string {
  const message = elide(error instanceof Error ? error.message : String(error), most.message);
  if (error instanceof PcibackError)
    return oneLine(`pciback: ${error.reason}: ${message}; ${elide(error.remedy, most.remedy)}`);
  return oneLine(
    `pciback: INTERNAL: ${message}; run it again with PCIBACK_DEBUG=1 for a trace, and report that`,
  );
}

/** Tells of an error on standard error and returns the exit code for it. */
export function reportFailure(error: unknown): number {
  console.error(failureLine(error));
  if (process.env['PCIBACK_DEBUG'] && error instanceof Error) console.error(error.stack);
  return error instanceof PcibackError ? error.exitCode : 1;
}

/** Tells of something that did not keep the command from being done. */
export const warn = (text: string): void => console.error(oneLine(`pciback: warning: ${elide(text)}`));
