/** Which processes have a device open. */
import { readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRoot } from '../host-root.ts';
import { readText } from '../sysfs-file.ts';
import { type Device, namesOf, type Use } from './devices.ts';

/** Processes that are named; files that are looked at, each a system call or two. */
const limits = { processes: 5, files: 100_000 };

export function processUses({ proc }: HostRoot, devices: readonly Device[]): readonly Use[] {
  const byNumber = new Map(
    devices.flatMap((device) => (device.number ? [[device.number, device] as const] : [])),
  );
  if (byNumber.size === 0) return [];
  const uses: Use[] = [];
  let looks = 0;
  for (const pid of namesOf(proc).filter((name) => /^\d+$/.test(name))) {
    const files = join(proc, pid, 'fd');
    const opened = new Set<Device>();
    for (const fd of namesOf(files)) {
      looks += 1;
      const device = byNumber.get(numberOf(join(files, fd)) ?? '');
      if (device) opened.add(device);
    }
    if (opened.size > 0) uses.push(use(pid, readText(join(proc, pid, 'comm')) ?? '?', [...opened]));
    if (uses.length === limits.processes || looks > limits.files) break;
  }
  return uses;
}

const use = (pid: string, command: string, opened: readonly Device[]): Use => ({
  what: `process ${pid}`,
  detail: `${command} has ${opened.map(({ file, name }) => file ?? name).join(', ')} open`,
  remedy: `end ${command}`,
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
