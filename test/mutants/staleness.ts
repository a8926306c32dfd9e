import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mutant } from './mutant.ts';

const root = join(import.meta.dirname, '../..');

/** Why a mutant says nothing any more; undefined when it is up to date. */
export function staleness({ file, find, put, tests }: Mutant): string | undefined {
  if (!existsSync(join(root, file))) return `there is no ${file}`;
  const found = readFileSync(join(root, file), 'utf8').split(find).length - 1;
  if (found !== 1) return `its text occurs ${found} times in ${file}`;
  if (put === find) return 'nothing would change';
  const missing = tests.find((name) => !existsSync(join(root, name)));
  return missing === undefined ? undefined : `there is no ${missing}`;
}
