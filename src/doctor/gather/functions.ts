/** The functions of a host, with what sysfs says beyond their registers. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf, type Sbdf } from '../../address.ts';
import { PcibackError } from '../../errors.ts';
import { linuxHost } from '../../host/host-root.ts';
import { usersOf } from '../../host/in-use.ts';
import type { SilentFunction } from '../../host/silent.ts';
import { devicesDirectory, readSysfs } from '../../host/sysfs.ts';
import { readLinkName, readText } from '../../host/sysfs-file.ts';
import type { KnownFunction } from '../facts.ts';

export interface KnownFunctions {
  readonly functions: readonly KnownFunction[];
  readonly silent: readonly SilentFunction[];
  readonly warnings: readonly PcibackError[];
}

/** Throws BAD-DIRECTORY when the directory describes no functions. */
export function gatherFunctions(directory: string, origin: 'host' | 'tree'): KnownFunctions {
  const { functions, silent = [], warnings } = readSysfs(directory, origin);
  const devices = devicesDirectory(directory);
  const known = functions.map((facts): KnownFunction => {
    const at = (name: string): string => join(devices, formatSbdf(facts.sbdf), name);
    const count = Number(attribute(at('enable')) ?? Number.NaN);
    return {
      ...facts,
      enabled: Number.isNaN(count) ? null : count > 0,
      messageVectors: namesIn(at('msi_irqs')).map(Number),
      iommuGroup: groupOf(at('iommu_group')),
      users: null,
    };
  });
  return { functions: known, silent, warnings };
}

/** With who in dom0 uses those that are judged: all processes are looked at for each. */
export const withUsers = (
  functions: readonly KnownFunction[],
  judged: readonly Sbdf[],
  root: string,
): readonly KnownFunction[] =>
  functions.map((fn) => (judged.includes(fn.sbdf) ? { ...fn, users: usersIn(root, fn) } : fn));

function usersIn(root: string, fn: KnownFunction): KnownFunction['users'] {
  try {
    const at = (name: string): string => join(root, name);
    return usersOf({ ...linuxHost, sysfs: at('sys'), proc: at('proc'), run: at('run') }, fn);
  } catch (error) {
    if (!(error instanceof PcibackError)) throw error;
    // It has just gone.
    return null;
  }
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
