/** What a guest's PCI core learns about one function: everything here was read through the ring. */
import type { Sbdf } from '../address.ts';
import { sizeBars, type Bar } from './bars.ts';
import {
  offsetOf,
  readMsi,
  readMsix,
  walkCapabilities,
  walkExtendedCapabilities,
  type Capability,
  type MsiShape,
  type MsixShape,
} from './capabilities.ts';
import { allOnes, type ConfigSpace } from './config.ts';
import { CapabilityId, HeaderType, Register } from './registers.ts';

export interface GuestFunction {
  /** The guest's address of the function, not the host's. */
  readonly address: Sbdf;
  readonly vendor: number;
  readonly device: number;
  /** Null where the header has none (bridges). */
  readonly subsystem: { readonly vendor: number; readonly device: number } | null;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number;
  readonly revision: number;
  readonly headerLayout: number;
  readonly multifunction: boolean;
  /** 0 none, 1..4 for INTA..INTD. */
  readonly interruptPin: number;
  /** What register 0x3C shows; a paravirtual guest takes it as its pirq. */
  readonly interruptLine: number;
  readonly bars: readonly Bar[];
  readonly capabilities: readonly Capability[];
  readonly msi: MsiShape | null;
  readonly msix: MsixShape | null;
  /** For a bridge, the buses behind it. */
  readonly busesBehind: { readonly secondary: number; readonly subordinate: number } | null;
  /** The bytes of configuration space that can be read. */
  readonly length: 256 | 4096;
}

/** Vendor ID values that mean "nobody is there"; Linux's PCI core tests for the same four. */
const absentIds: ReadonlySet<number> = new Set([0x0000_0000, 0xffff_ffff, 0x0000_ffff, 0xffff_0000]);

/**
 * Reads the function at this address: header, BARs with their sizes, both capability lists. Undefined, after one request, when
 * nobody answers.
 */
export function enumerateIfPresent(config: ConfigSpace): GuestFunction | undefined {
  const id = config.read(Register.id, 4);
  return absentIds.has(id) ? undefined : enumerate(config, id);
}

function enumerate(config: ConfigSpace, id: number): GuestFunction {
  const classAndRevision = config.read(Register.classAndRevision, 4);
  const headerType = config.read(Register.headerType, 1);
  const headerLayout = headerType & HeaderType.layoutMask;
  const isEndpoint = headerLayout === HeaderType.endpoint;

  const standard = walkCapabilities(config);
  const length = hasExtendedSpace(config, standard) ? 4096 : 256;
  const extended = length === 4096 ? walkExtendedCapabilities(config) : [];

  return {
    address: config.address,
    vendor: id & 0xffff,
    device: id >>> 16,
    subsystem: isEndpoint ? readSubsystem(config) : null,
    classCode: classAndRevision >>> 8,
    revision: classAndRevision & 0xff,
    headerLayout,
    multifunction: (headerType & HeaderType.multifunction) !== 0,
    interruptPin: config.read(Register.interruptPin, 1),
    interruptLine: config.read(Register.interruptLine, 1),
    bars: sizeBars(config, headerLayout),
    capabilities: [...standard, ...extended],
    msi: readMsi(config, standard),
    msix: readMsix(config, standard),
    busesBehind: headerLayout === HeaderType.bridge ? readBusesBehind(config) : null,
    length,
  };
}

/** Linux's rule: a PCI Express capability and a readable first double word. */
function hasExtendedSpace(config: ConfigSpace, capabilities: readonly Capability[]): boolean {
  return (
    offsetOf(capabilities, CapabilityId.pciExpress) !== undefined && config.read(0x100, 4) !== allOnes(4)
  );
}

function readSubsystem(config: ConfigSpace): GuestFunction['subsystem'] {
  const word = config.read(Register.subsystem, 4);
  return { vendor: word & 0xffff, device: word >>> 16 };
}

function readBusesBehind(config: ConfigSpace): GuestFunction['busesBehind'] {
  const word = config.read(Register.busNumbers, 4);
  return { secondary: (word >>> 8) & 0xff, subordinate: (word >>> 16) & 0xff };
}
