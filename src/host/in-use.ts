/** Whether dom0 itself needs a function: taking it would pull the ground from under a file system, a route or a console. */
import { realpathSync } from 'node:fs';
import { formatSbdf, parseSbdf, type Sbdf } from '../address.ts';
import { PcibackError } from '../errors.ts';
import { functionDirectory, type HostRoot } from './host-root.ts';
import { isBridge } from './identity.ts';
import type { FunctionFacts } from './platform.ts';
import { noSuchFunction } from './sysfs.ts';
import { activeConsoles, displayUses, frameBufferUses, terminalUses } from './uses/consoles.ts';
import { type Device, type DevicesBelow, devicesThatVanishWith, type Use } from './uses/devices.ts';
import { diskUses } from './uses/disks.ts';
import { keptForGuests, virtualFunctions } from './uses/functions.ts';
import { interfaceUses, readNetworkTables } from './uses/interfaces.ts';
import { processUses } from './uses/processes.ts';

export type { Use } from './uses/devices.ts';

/**
 * Everything in dom0 that uses the function or what would vanish along with it, whatever it is: what is behind a bridge, in the PCI
 * domain of a VMD controller, on a USB bus, on a virtual function. Nothing is changed. What lives in other network namespaces is
 * not seen. Throws NO-SUCH-FUNCTION.
 */
export function usersOf(root: HostRoot, facts: FunctionFacts): readonly Use[] {
  const { devices, truncated } = devicesOf(root, facts.sbdf);
  const own = formatSbdf(facts.sbdf);
  const active = activeConsoles(root);
  const network = readNetworkTables(root);
  const kinds: Readonly<Record<string, (device: Device) => readonly Use[]>> = {
    net: (device) => interfaceUses(device, network),
    tty: (device) => terminalUses(device, active),
    graphics: (device) => frameBufferUses(root, device),
    tpm: trustedPlatformModule,
    pci: (device) => [
      ...virtualFunctions(device),
      ...displayUses(root, device, active),
      // What is behind a bridge stays on its bus when the bridge loses its driver.
      ...(device.name === own || isBridge(facts) ? [] : keptForGuests(device)),
    ],
  };
  const uses = [
    ...diskUses(
      root,
      devices.filter(({ subsystem }) => subsystem === 'block'),
    ),
    ...devices.flatMap((device) => kinds[device.subsystem]?.(device) ?? []),
    ...processUses(root, devices),
    ...(truncated ? [tooMany] : []),
  ];
  return [...new Map(uses.map((use) => [`${use.what} ${use.detail}`, use])).values()];
}

/** Other PCI functions that would vanish along with it. Throws NO-SUCH-FUNCTION. */
export const functionsThatVanishWith = (root: HostRoot, sbdf: Sbdf): readonly Sbdf[] =>
  devicesOf(root, sbdf).devices.flatMap(({ subsystem, name }) => {
    const found = subsystem === 'pci' ? parseSbdf(name) : undefined;
    return found === undefined || found === sbdf ? [] : found;
  });

function devicesOf(root: HostRoot, sbdf: Sbdf): DevicesBelow {
  try {
    return devicesThatVanishWith(root, realpathSync(functionDirectory(root, sbdf)));
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? noSuchFunction(sbdf, error) : error;
  }
}

/** The kernel measures and seals with it without having it open. */
const trustedPlatformModule = ({ name, file }: Device): readonly Use[] => [
  {
    what: file ?? name,
    detail: 'the trusted platform module of dom0',
    remedy: 'switch it off in the firmware',
  },
];

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
