import { readFileSync } from 'node:fs';

/** The lines of a table under /proc, split into words. A table that the kernel does not have is empty. */
export function tableOf(path: string): readonly (readonly string[])[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([first]) => first !== '');
}

/** `3 routes`, `1 route`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
