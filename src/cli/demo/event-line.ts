import type { BackendEvent } from '../../index.ts';
import { elide } from '../failure.ts';

/** An event as one line for people. */
export function describeEvent(event: BackendEvent): string {
  const { type, subject, domid, from, to, cause, reason, message } = event;
  const about = [subject, domid === undefined ? undefined : `domain ${domid}`].filter(Boolean).join(', ');
  const change = from === undefined || to === undefined ? (to ?? from) : `${from} -> ${to}`;
  const why = [cause, reason, message].filter(Boolean).join(', ');
  const data = Object.entries(event.data ?? {}).map(([name, value]) => `${name}=${value}`);
  return elide(
    [type, about, change, why === '' ? undefined : `(${why})`, ...data].filter(Boolean).join('  '),
  );
}
