/** n: nothing, r: read, w: write, b: both. */
export type PermissionLetter = 'n' | 'r' | 'w' | 'b';

/**
 * One entry of a node's permission list as it is written everywhere in Xen: `n0`, `r5`. The first entry names the owner,
 * who may do everything, and its letter holds for every domain that no later entry names.
 */
export type Permission = `${PermissionLetter}${number}`;

export interface PermissionEntry {
  readonly letter: PermissionLetter;
  readonly domid: number;
}

/** Reads one entry: a letter and a decimal domain id; undefined when the text is not such an entry. */
export function parsePermission(text: string): PermissionEntry | undefined {
  const match = /^([nrwb])([0-9]{1,5})$/.exec(text);
  return match ? { letter: match[1] as PermissionLetter, domid: Number(match[2]) } : undefined;
}

export const formatPermission = ({ letter, domid }: PermissionEntry): Permission => `${letter}${domid}`;
