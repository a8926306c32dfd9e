/**
 * Compiles the rules for one function: what each byte of its configuration space shows and who decides on writes to it. This
 * happens once, when a guest is given the function; an access only looks things up.
 */
import { afRegisters } from './af.ts';
import { type BarTable, barTable } from './bar.ts';
import { CapabilityId, Header, headerTypeMask, Msi, Msix, Pm } from './bits.ts';
import { type Capability, extendedCapabilities, standardCapabilities } from './capabilities.ts';
import { decodeFor } from './command.ts';
import { enhancedAllocationRegisters } from './enhanced-allocation.ts';
import { extendedRegisters } from './extended.ts';
import { headerType0 } from './header-type-0.ts';
import { headerType1 } from './header-type-1.ts';
import { byteAt, wordAt } from './image.ts';
import type { FilterMode } from './mode.ts';
import { msiRegisters } from './msi.ts';
import { msixRegisters, type MsixTable, msixTableAt } from './msix.ts';
import { pcieRegisters } from './pcie.ts';
import { pmRegisters } from './pm.ts';
import { formatQuirk, quirkRegister } from './quirks.ts';
import { type Blueprint, type Register, stable } from './register.ts';
import { RegisterMap, type RegisterTables } from './register-map.ts';
import type { Seized } from './seize.ts';
import { vpdRegisters } from './vpd.ts';

export interface CompiledFilter extends RegisterTables {
  readonly seized: Seized;
  readonly mode: FilterMode;
  /** Bytes that can be accessed. */
  readonly length: 256 | 4096;
  readonly bars: BarTable;
  /** What a new guest finds in the command register. */
  readonly initialCommand: number;
  /** Command register bits that make the function decode all its ranges. */
  readonly decode: number;
  /** Offsets of control words; 0 when the function has no such capability. */
  readonly powerControl: number;
  readonly msiControl: number;
  readonly msixControl: number;
  /** Undefined when the function has no MSI-X, or its table does not lie where it could be used. */
  readonly msix: MsixTable | undefined;
}

type Build = (at: number, blueprint: Blueprint) => readonly Register[];

/** Capabilities with rules, in the order in which Linux xen-pciback deals with them. The first one of each kind counts. */
const ruled: readonly (readonly [id: number, build: Build])[] = [
  [CapabilityId.vpd, vpdRegisters],
  [CapabilityId.powerManagement, pmRegisters],
  [CapabilityId.msi, msiRegisters],
  [CapabilityId.msix, msixRegisters],
];

/** Capabilities that get no rule, or one that forbids everything; every one of a kind counts. */
const others: Readonly<Record<number, Build>> = {
  [CapabilityId.enhancedAllocation]: enhancedAllocationRegisters,
  [CapabilityId.pciExpress]: pcieRegisters,
  [CapabilityId.advancedFeatures]: afRegisters,
};

const names: Readonly<Record<number, string>> = {
  0x02: 'AGP',
  0x04: 'Slot identification',
  0x06: 'CompactPCI hot swap',
  0x07: 'PCI-X',
  0x08: 'HyperTransport',
  0x09: 'Vendor-specific',
  0x0a: 'Debug port',
  0x0b: 'CompactPCI resource control',
  0x0c: 'Hot-plug',
  0x0d: 'Bridge subsystem IDs',
  0x0f: 'Secure device',
  0x12: 'SATA',
};

/** Compiles the filter of a seized function. Throws BAD-SPEC for a quirk that cannot be had. */
export function compileFilter(seized: Seized, mode: FilterMode): CompiledFilter {
  const blueprint: Blueprint = { seized, mode };
  const { config } = seized;
  const length = config.length > 256 ? 4096 : 256;
  const map = new RegisterMap(length);
  const isBridge = (byteAt(config, Header.headerType) & headerTypeMask) === 1;
  map.add(isBridge ? headerType1(blueprint) : headerType0(blueprint));

  const capabilities = standardCapabilities(config);
  const placed = new Map<number, number>();
  for (const [id, build] of ruled) {
    const at = capabilities.find((capability) => capability.id === id)?.offset;
    if (at === undefined) continue;
    const registers = build(at, blueprint);
    if (map.hasRoomFor(registers)) {
      map.add(registers);
      placed.set(id, at);
    } else {
      map.seal(registers);
    }
  }
  for (const capability of capabilities) map.seal(otherRegisters(capability, blueprint));
  for (const capability of extendedCapabilities(config)) map.seal(extendedRegisters(capability, blueprint));
  for (const quirk of mode.quirks) map.addQuirk(quirkRegister(quirk), formatQuirk(quirk));

  const control = (id: number, offset: number): number => {
    const at = placed.get(id);
    return at === undefined ? 0 : at + offset;
  };
  const msixAt = placed.get(CapabilityId.msix);
  return {
    seized,
    mode,
    length,
    ...map.tables(),
    bars: barTable(seized),
    initialCommand: wordAt(config, Header.command),
    decode: decodeFor(seized),
    powerControl: control(CapabilityId.powerManagement, Pm.control),
    msiControl: control(CapabilityId.msi, Msi.control),
    msixControl: control(CapabilityId.msix, Msix.control),
    msix: msixAt === undefined ? undefined : msixTableAt(msixAt, seized),
  };
}

function otherRegisters({ id, offset }: Capability, blueprint: Blueprint): readonly Register[] {
  const build = others[id];
  if (build) return build(offset, blueprint);
  const name = names[id];
  return [
    stable(
      name ? `${name} capability` : `Capability 0x${id.toString(16).padStart(2, '0')}`,
      offset,
      2,
      blueprint,
    ),
  ];
}
