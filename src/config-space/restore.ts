/**
 * What surrounds a reset: a function forgets its configuration in one, and has to get it back in an order in which each
 * setting finds what it depends on. Message-signalled interrupts come last and by themselves, since under Xen the hypervisor
 * must first put their addresses and data back.
 */
import type { AccessSize, ConfigAccess } from './access.ts';
import { CapabilityId, Command, ExtendedCapabilityId, Header, headerTypeMask, Pcie } from './bits.ts';
import { extendedCapabilities, findCapability } from './capabilities.ts';
import { reapplyCommand } from './command.ts';
import type { ConfigFilter } from './filter.ts';
import { byteAt, type Image, readImage, valueAt, wordAt } from './image.ts';
import { writeMsi, writeMsix } from './interrupts.ts';
import { InterruptKind } from './record.ts';

interface Setting {
  readonly name: string;
  readonly offset: number;
  readonly size: AccessSize;
}

const setting = (name: string, offset: number, size: AccessSize): Setting => ({ name, offset, size });

const isBridge = (config: Image): boolean => (byteAt(config, Header.headerType) & headerTypeMask) === 1;

/** Device/port types of the PCI Express capability (PCIe 4.0, 7.5.3.2). */
const PortType = { rootPort: 4, downstreamPort: 6, integratedEndpoint: 9, eventCollector: 10 } as const;

function pcieSettings(config: Image): readonly Setting[] {
  const at = findCapability(config, CapabilityId.pciExpress);
  if (at === undefined) return [];
  const flags = wordAt(config, at + 2);
  const type = (flags >>> 4) & 0xf;
  const hasLink = type !== PortType.integratedEndpoint && type !== PortType.eventCollector;
  const hasSlot =
    (flags & (1 << 8)) !== 0 && (type === PortType.rootPort || type === PortType.downstreamPort);
  const isVersion2 = (flags & 0xf) >= 2;
  return [
    setting('PCIe device control', at + Pcie.deviceControl, 2),
    ...(hasLink ? [setting('PCIe link control', at + 0x10, 2)] : []),
    ...(hasSlot ? [setting('PCIe slot control', at + 0x18, 2)] : []),
    ...(isVersion2 ? [setting('PCIe device control 2', at + 0x28, 2)] : []),
    ...(isVersion2 && hasLink ? [setting('PCIe link control 2', at + 0x30, 2)] : []),
  ];
}

const advancedErrorReporting = 0x0001;
const latencyTolerance = 0x0018;

/** Settings in extended capabilities, by capability: offset and size of each. */
const extendedSettings: Readonly<Record<number, readonly (readonly [offset: number, size: AccessSize])[]>> = {
  [advancedErrorReporting]: [
    [0x08, 4],
    [0x0c, 4],
    [0x14, 4],
    [0x18, 4],
  ],
  [ExtendedCapabilityId.acs]: [[0x06, 2]],
  [ExtendedCapabilityId.pasid]: [[0x06, 2]],
  [ExtendedCapabilityId.ats]: [[0x06, 2]],
  [latencyTolerance]: [
    [0x04, 2],
    [0x06, 2],
  ],
};

function settingsInExtendedSpace(config: Image): readonly Setting[] {
  return extendedCapabilities(config).flatMap(({ id, offset }) => {
    if (id === ExtendedCapabilityId.resizableBar) {
      const bars = (byteAt(config, offset + 8) >>> 5) & 7;
      return Array.from({ length: bars }, (_, bar) =>
        setting('Resizable BAR control', offset + 8 + 8 * bar, 4),
      );
    }
    return (extendedSettings[id] ?? []).map(([register, size]) =>
      setting(`Extended capability 0x${id.toString(16).padStart(4, '0')}`, offset + register, size),
    );
  });
}

const barSettings = (config: Image): readonly Setting[] =>
  Array.from({ length: isBridge(config) ? 2 : 6 }, (_, bar) =>
    setting(`BAR ${bar}`, Header.bar0 + 4 * bar, 4),
  );

const bridgeSettings: readonly Setting[] = [
  setting('Expansion ROM', Header.bridgeRom, 4),
  setting('I/O base and limit, upper halves', 0x30, 4),
  setting('Prefetchable limit, upper half', 0x2c, 4),
  setting('Prefetchable base, upper half', 0x28, 4),
  setting('Prefetchable base and limit', 0x24, 4),
  setting('Memory base and limit', 0x20, 4),
  setting('I/O base and limit', 0x1c, 2),
  setting('Bus numbers', 0x18, 4),
  setting('Bridge control', 0x3e, 2),
];

/**
 * Every setting but the command register, which lets the function loose, in the order of restoring: how requests are formed and
 * routed, and how large a BAR is before where it lies. Registers that only report, and those where a one
 * clears something, are not among them.
 */
const settings = (config: Image): readonly Setting[] => [
  ...pcieSettings(config),
  ...settingsInExtendedSpace(config),
  setting('Interrupt line', Header.interruptLine, 1),
  ...(isBridge(config) ? bridgeSettings : [setting('Expansion ROM', Header.rom, 4)]),
  ...barSettings(config),
  setting('Latency timer', Header.latencyTimer, 1),
  setting('Cache line size', Header.cacheLineSize, 1),
];

const commandSetting = setting('Command', Header.command, 2);

/** Everything that a function's registers hold, to be restored after a reset. */
export const saveConfig = (hardware: ConfigAccess): Image => readImage(hardware);

/** Stops a function from starting new requests. */
export function quiesce(hardware: ConfigAccess): void {
  const command = hardware.read(Header.command, 2);
  if ((command & Command.master) !== 0) hardware.write(Header.command, 2, command & ~Command.master);
}

/** Whether requests of a function are still on their way (PCIe 7.5.3.5); false when it cannot tell. */
export function hasPendingTransactions(hardware: ConfigAccess, config: Image): boolean {
  const at = findCapability(config, CapabilityId.pciExpress);
  return at !== undefined && (hardware.read(at + Pcie.deviceStatus, 2) & (1 << 5)) !== 0;
}

/**
 * Brings the settings of a function back to what `saved` holds, which may be `Seized.config` or come from `saveConfig`. A
 * setting that is as it should be is not written, nor one that is to be left alone. Interrupts stay off: see `reapply`. The command
 * register comes last, and only where every BAR has taken its address.
 */
export function restoreConfig(
  hardware: ConfigAccess,
  saved: Image,
  isLeftAlone: (offset: number, size: number) => boolean = () => false,
): void {
  for (const { name, offset, size } of settings(saved)) {
    let value = valueAt(saved, offset, size);
    if (name === 'PCIe device control') value &= ~Pcie.initiateFlr;
    if (hardware.read(offset, size) === value || isLeftAlone(offset, size)) continue;
    hardware.write(offset, size, value);
  }
  if (barSettings(saved).some((bar) => !holds(hardware, saved, bar))) return;
  if (!holds(hardware, saved, commandSetting)) {
    hardware.write(Header.command, 2, wordAt(saved, Header.command));
  }
}

const holds = (hardware: ConfigAccess, saved: Image, { offset, size }: Setting): boolean =>
  hardware.read(offset, size) === valueAt(saved, offset, size);

/** A register that does not hold what it should. */
export interface Mismatch {
  readonly name: string;
  readonly offset: number;
  readonly expected: number;
  readonly actual: number;
}

/** What tells that this is the same function, that it decodes what it did, and that it does as much. */
const vital = (config: Image): readonly Setting[] => [
  setting('Vendor and device ID', Header.vendor, 4),
  setting('Class code and revision', Header.classAndRevision, 4),
  setting('Header type', Header.headerType, 1),
  ...barSettings(config),
  commandSetting,
];

/** Compares a function after a reset with what it was; nothing is returned when all is well. */
export function verifyConfig(hardware: ConfigAccess, saved: Image): readonly Mismatch[] {
  return vital(saved).flatMap(({ name, offset, size }) => {
    const expected = valueAt(saved, offset, size);
    const actual = hardware.read(offset, size);
    return actual === expected ? [] : [{ name, offset, expected, actual }];
  });
}

/**
 * Gives a guest back what it had switched on, after the configuration was restored: its interrupts, then what its command
 * register allows. The addresses and data of its interrupts must be in place again.
 */
export function reapply(filter: ConfigFilter): void {
  const kind = filter.record.interruptKind;
  if (kind === InterruptKind.msi) writeMsi(filter, true);
  if (kind === InterruptKind.msix) writeMsix(filter, true);
  reapplyCommand(filter);
}
