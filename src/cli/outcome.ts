/** How attaching and detaching can end, as an error when it is not as wished. */
import { PcibackError } from '../errors.ts';
import type { Outcome } from '../toolstack/index.ts';

/** @param action what was tried, for the message: `attach to domain 5` */
export function outcomeError(
  outcome: Exclude<Outcome, { outcome: 'completed' }>,
  action: string,
): PcibackError {
  if (outcome.outcome === 'timed out') {
    return new PcibackError(
      'TIMED-OUT',
      `${action}: waited in vain for the ${outcome.waitingFor}: ${outcome.why}`,
      'pciback status shows how far both ends are',
    );
  }
  const { reason, remedy = '' } = outcome;
  if (reason !== undefined) return new PcibackError(reason, `${action}: ${outcome.why}`, remedy);
  return outcome.by === 'front-end'
    ? new PcibackError('REFUSED-BY-GUEST', `${action}: ${outcome.why}`, "see the guest's kernel log")
    : new PcibackError(
        'BACKEND-FAILED',
        `${action}: the back-end refused: ${outcome.why}`,
        'see what pciback serve prints',
      );
}

/** The `--timeout` of a command, in milliseconds. Throws USAGE. */
export function timeoutOf(text = '10'): number {
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0.1 && seconds <= 3600) return seconds * 1000;
  throw new PcibackError(
    'USAGE',
    `'${text}' is no time-out`,
    'write --timeout with seconds, from 0.1 to 3600',
  );
}

export const timeoutOption = {
  timeout: {
    type: 'string',
    value: 'SECONDS',
    help: 'how long each step of the other side may take; default 10',
  },
} as const;
