/** Whether dom0 itself needs a function: taking it would pull the ground from under a file system, a route or a console. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { functionDirectory, type HostRoot } from './host-root.ts';
import { isBridge } from './identity.ts';
import type { FunctionFacts } from './platform.ts';
import { noSuchFunction } from './sysfs.ts';
import { activeConsoles, displayUses, terminalUses } from './uses/consoles.ts';
import { attributeOf, type Device, type DevicesBelow, devicesBelow, type Use } from './uses/devices.ts';
import { diskUses } from './uses/disks.ts';
import { interfaceUses, readNetworkTables } from './uses/interfaces.ts';
import { processUses } from './uses/processes.ts';
import { counted } from './uses/text.ts';

export type { Use } from './uses/devices.ts';

/**
 * Everything in dom0 that uses the function, or, if it is a bridge, a function behind it. Nothing is changed. What lives in
 * other network namespaces is not seen. Throws NO-SUCH-FUNCTION.
 */
export function usersOf(root: HostRoot, facts: FunctionFacts): readonly Use[] {
  const { devices, truncated } = devicesOf(root, facts);
  const active = activeConsoles(root);
  const network = readNetworkTables(root);
  const kinds: Readonly<Record<string, (device: Device) => readonly Use[]>> = {
    net: (device) => interfaceUses(device, network),
    tty: (device) => terminalUses(device, active),
    pci: (device) => [...virtualFunctions(device), ...displayUses(root, device, active)],
  };
  return [
    ...diskUses(
      root,
      devices.filter(({ subsystem }) => subsystem === 'block'),
    ),
    ...devices.flatMap((device) => kinds[device.subsystem]?.(device) ?? []),
    ...processUses(root, devices),
    ...(truncated ? [tooMany] : []),
  ];
}

function devicesOf(root: HostRoot, facts: FunctionFacts): DevicesBelow {
  try {
    return devicesBelow(realpathSync(functionDirectory(root, facts.sbdf)), isBridge(facts));
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? noSuchFunction(facts.sbdf, error) : error;
  }
}

/** Without its driver a physical function has no virtual ones: they would vanish from whoever has them. */
function virtualFunctions({ path, name }: Device): readonly Use[] {
  const count = Number(attributeOf(join(path, 'sriov_numvfs')) ?? 0);
  if (!(count > 0)) return [];
  return [
    {
      what: name,
      detail: `has ${counted(count, 'virtual function')}`,
      remedy: `echo 0 > /sys/bus/pci/devices/${name}/sriov_numvfs`,
    },
  ];
}

const tooMany: Use = {
  what: 'its devices',
  detail: 'there are more than can be looked at',
  remedy: 'make sure that dom0 uses none of them',
};

/** The refusal to take a function that dom0 uses. */
export function refuseInUse(facts: FunctionFacts, uses: readonly Use[]): PcibackError {
  const shown = uses.slice(0, 8).map(({ what, detail }) => `${what} (${detail})`);
  const more = uses.length > shown.length ? [`and ${uses.length - shown.length} more`] : [];
  const remedies = [...new Set(uses.map(({ remedy }) => remedy))].slice(0, 3);
  return new PcibackError(
    'HOST-USES-IT',
    `${formatSbdf(facts.sbdf)} is in use: ${[...shown, ...more].join('; ')}`,
    `stop that first (${remedies.join('; ')}), or force it: --force`,
  );
}
