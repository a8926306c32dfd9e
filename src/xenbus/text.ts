/**
 * Numbers as they may stand in xenstore: plain decimals. What a guest wrote is not read any more generously than that; no
 * sign, no blanks, no other base. Undefined for anything else.
 */
export function parseDecimal(text: string | undefined, most: number): number | undefined {
  if (text === undefined || !/^(?:0|[1-9]\d{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}
