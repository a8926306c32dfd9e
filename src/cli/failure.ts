import { PcibackError } from '../toolstack/index.ts';

/** One line and nothing else, whatever is in the texts. */
const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').replace(/\p{Cc}/gu, '?');

/** What an error looks like on the command line: `pciback: REASON: what happened; what to do`. */
export function failureLine(error: unknown): string {
  if (error instanceof PcibackError)
    return oneLine(`pciback: ${error.reason}: ${error.message}; ${error.remedy}`);
  const message = error instanceof Error ? error.message : String(error);
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
export const warn = (text: string): void => console.error(oneLine(`pciback: warning: ${text}`));
