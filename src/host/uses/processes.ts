/** Which processes have a device open. */
import { readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { attributeOf, type Device, namesOf, type Use } from './devices.ts';

/** Processes that are named; open files that are looked at, each one or two system calls. */
const limits = { processes: 5, files: 100_000 };

/** The processes that have one of these devices open: the first few. */
export function processUses({ proc }: HostRoot, devices: readonly Device[]): readonly Use[] {
  const byNumber = new Map(devices.map((device) => [device.number, device]));
  byNumber.delete(undefined);
  const uses: Use[] = [];
  let files = byNumber.size === 0 ? 0 : limits.files;
  for (const pid of namesOf(proc).filter((name) => /^\d+$/.test(name))) {
    if (files === 0 || uses.length === limits.processes) break;
    const directory = join(proc, pid, 'fd');
    const open = namesOf(directory).slice(0, files);
    files -= open.length;
    const opened = new Set(open.flatMap((fd) => byNumber.get(numberOf(join(directory, fd)) ?? '') ?? []));
    if (opened.size > 0) uses.push(openIn(pid, attributeOf(join(proc, pid, 'comm')) ?? '', [...opened]));
  }
  return uses;
}

const openIn = (pid: string, command: string, opened: readonly Device[]): Use => ({
  what: opened.map(({ file, name }) => file ?? name).join(', '),
  detail: `open in ${command}, process ${pid}`,
  remedy: `end process ${pid}`,
});

/** `major:minor` of the device file that is open; what is open otherwise is told by its name already. */
function numberOf(link: string): string | undefined {
  try {
    if (!readlinkSync(link).startsWith('/')) return undefined;
    const status = statSync(link);
    return status.isBlockDevice() || status.isCharacterDevice() ? formatNumber(status.rdev) : undefined;
  } catch {
    return undefined;
  }
}

/** The C library's dev_t: eight bits of the minor number, twelve of the major, the rest of the minor. */
export function formatNumber(rdev: number): string {
  const minor = (rdev % 2 ** 8) + Math.floor(rdev / 2 ** 20) * 2 ** 8;
  return `${Math.floor(rdev / 2 ** 8) % 2 ** 12}:${minor}`;
}
