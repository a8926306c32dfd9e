import { plainJson } from '../text.ts';

/** A text without the NUL that programs in C may have counted in. */
export const withoutTerminator = (text: string): string => (text.endsWith('\0') ? text.slice(0, -1) : text);

/**
 * Numbers as they may stand in xenstore: plain decimals. What a guest wrote is not read any more generously than that; no
 * sign, no blanks, no other base. Undefined for anything else.
 */
export function parseDecimal(text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const digits = withoutTerminator(text);
  if (!/^(?:0|[1-9]\d{0,9})$/.test(digits)) return undefined;
  const value = Number(digits);
  return value <= most ? value : undefined;
}

const mostShown = 32;

/** A text from xenstore, safe and short enough for a message. */
export function quote(text: string | undefined): string {
  const shown = (text ?? '').slice(0, mostShown);
  return plainJson(shown.length < (text ?? '').length ? `${shown}...` : shown);
}
