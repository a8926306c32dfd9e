/** The functions of a host, with what sysfs says beyond their registers. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf } from '../../address.ts';
import type { PcibackError } from '../../errors.ts';
import type { FunctionFacts } from '../../host/platform.ts';
import { devicesDirectory, readSysfs } from '../../host/sysfs.ts';
import { readLinkName, readText } from '../../host/sysfs-file.ts';
import type { KnownFunction, UserFacts } from '../facts.ts';

export interface KnownFunctions {
  readonly functions: readonly KnownFunction[];
  readonly warnings: readonly PcibackError[];
}

/** What dom0 is doing with a function. Throws NO-SUCH-FUNCTION when it has just gone. */
export type UsersOf = (facts: FunctionFacts) => readonly UserFacts[];

/** Throws BAD-DIRECTORY when the directory describes no functions. */
export function gatherFunctions(
  directory: string,
  origin: 'host' | 'tree',
  usersOf: UsersOf | undefined,
): KnownFunctions {
  const { functions, warnings } = readSysfs(directory, origin);
  const devices = devicesDirectory(directory);
  const known = functions.map((facts): KnownFunction => {
    const at = (name: string): string => join(devices, formatSbdf(facts.sbdf), name);
    const count = Number(attribute(at('enable')) ?? Number.NaN);
    return {
      ...facts,
      enabled: Number.isNaN(count) ? null : count > 0,
      messageVectors: namesIn(at('msi_irqs')).map(Number),
      iommuGroup: groupOf(at('iommu_group')),
      users: usersOf?.(facts) ?? null,
    };
  });
  return { functions: known, warnings };
}

/** The function itself has been read; of what is told in addition nothing has to be there. */
function attribute(path: string): string | null {
  try {
    return readText(path) ?? null;
  } catch {
    return null;
  }
}

function groupOf(path: string): string | null {
  try {
    return readLinkName(path, 'GROUP') ?? null;
  } catch {
    return null;
  }
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
