/** What the files of a Linux system say of the kernel and of Xen. Below `root` they lie as in this system. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineFacts, XenFacts } from '../facts.ts';

/** Undefined when there is none, or it is not ours to read. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'latin1')).trim();
  } catch {
    return undefined;
  }
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch {
    return [];
  }
}

/** Xen turns the name of DMAR round before dom0 sees it, so that dom0 leaves the IOMMU alone (seen with Xen 4.17). */
const iommuTables: readonly string[] = ['DMAR', 'RMAD', 'IVRS'];

/** `question` asks Xen whether it has an IOMMU; it is asked only where there is Xen. */
export async function gatherMachine(
  root: string,
  isRoot: boolean,
  question: () => Promise<XenFacts['hasIommu']>,
): Promise<MachineFacts> {
  const at = (path: string): string => join(root, path);
  const [linux, lockdown, tables, drivers, interrupts, nodes, hypervisor] = await Promise.all([
    textOf(at('/proc/sys/kernel/osrelease')),
    textOf(at('/sys/kernel/security/lockdown')),
    namesIn(at('/sys/firmware/acpi/tables')),
    namesIn(at('/sys/bus/pci/drivers')),
    textOf(at('/proc/interrupts')),
    namesIn(at('/dev/xen')),
    textOf(at('/sys/hypervisor/type')),
  ]);
  const modules = linux === undefined ? undefined : await textOf(at(`/lib/modules/${linux}/modules.dep`));
  const hasXen = nodes.length > 0 || hypervisor === 'xen';
  return {
    isRoot,
    linux: linux ?? null,
    // The level in force is in brackets: `none [integrity] confidentiality`.
    lockdown: lockdown === undefined ? null : (/\[(\w+)\]/.exec(lockdown)?.[1] ?? null),
    iommuTables: iommuTables.filter((name) => tables.includes(name)),
    stubs: ['pciback', 'pci-stub'].filter((name) => drivers.includes(name)),
    canLoadStub: /\/pci-stub\.ko\b/.test(modules ?? ''),
    interruptUsers: parseInterrupts(interrupts ?? ''),
    xen: hasXen ? await gatherXen(at, nodes, question) : null,
  };
}

async function gatherXen(
  at: (path: string) => string,
  deviceNodes: readonly string[],
  question: () => Promise<XenFacts['hasIommu']>,
): Promise<XenFacts> {
  const [major, minor, extra, capabilities, guestType, hasIommu] = await Promise.all([
    textOf(at('/sys/hypervisor/version/major')),
    textOf(at('/sys/hypervisor/version/minor')),
    textOf(at('/sys/hypervisor/version/extra')),
    textOf(at('/proc/xen/capabilities')),
    textOf(at('/sys/hypervisor/guest_type')),
    question(),
  ]);
  return {
    version: major === undefined || minor === undefined ? null : `${major}.${minor}${extra ?? ''}`,
    capabilities: capabilities?.split(/\s+/) ?? null,
    guestType: guestType ?? null,
    deviceNodes,
    hasIommu,
  };
}

/**
 * Who registered for each numbered line of /proc/interrupts. The names come last, after the name of the chip and of the line
 * (Linux kernel/irq/proc.c, show_interrupts):
 *
 *     16:       4       0  xen-pirq    -ioapic-level  ehci_hcd:usb1, i801_smbus
 */
export function parseInterrupts(text: string): ReadonlyMap<number, readonly string[]> {
  const users = new Map<number, readonly string[]>();
  for (const line of text.split('\n')) {
    const [, number, rest = ''] = /^\s*(\d+):(?:\s+\d+)*\s+(\D.*)$/.exec(line) ?? [];
    const names =
      rest
        .trim()
        .split(/\s{2,}/)
        .slice(1)
        .at(-1) ?? '';
    const isTrigger = /^\d*-[\w-]+$/.test(names);
    if (number !== undefined && names !== '' && !isTrigger) users.set(Number(number), names.split(', '));
  }
  return users;
}
