import { findCapability } from '../config-space/capabilities.ts';
import { Header, headerTypeMask } from '../config-space/bits.ts';
import { byteAt, dwordAt, type Image, wordAt } from '../config-space/image.ts';
import type { FunctionFacts } from './platform.ts';

type Identity = Pick<
  FunctionFacts,
  'vendor' | 'device' | 'subsystemVendor' | 'subsystemDevice' | 'classCode' | 'revision'
>;

/** Where a bridge keeps the subsystem IDs for which its header has no room (PCI-to-PCI Bridge 1.2, 3.2.5.13). */
const bridgeSubsystem = { capability: 0x0d, ids: 4 } as const;
const deviceSubsystem = 0x2c;

/** What a function says of itself in its registers; the first 64 bytes are enough but for a bridge's subsystem. */
export function identityOf(config: Image): Identity {
  const subsystem = subsystemAt(config);
  const classAndRevision = dwordAt(config, Header.classAndRevision);
  return {
    vendor: wordAt(config, Header.vendor),
    device: wordAt(config, Header.device),
    subsystemVendor: subsystem === undefined ? 0 : wordAt(config, subsystem),
    subsystemDevice: subsystem === undefined ? 0 : wordAt(config, subsystem + 2),
    classCode: classAndRevision >>> 8,
    revision: classAndRevision & 0xff,
  };
}

function subsystemAt(config: Image): number | undefined {
  const layout = headerTypeOf(config);
  if (layout === 0) return deviceSubsystem;
  const capability = layout === 1 ? findCapability(config, bridgeSubsystem.capability) : undefined;
  return capability === undefined ? undefined : capability + bridgeSubsystem.ids;
}

/** 0: a device, 1: a PCI-to-PCI bridge, 2: a CardBus bridge. */
export const headerTypeOf = (config: Image): number => byteAt(config, Header.headerType) & headerTypeMask;

/** Class 0x0600: joins a bus to the processors. */
export const isHostBridge = ({ classCode }: Pick<FunctionFacts, 'classCode'>): boolean =>
  classCode >>> 8 === 0x0600;

/** Base class 0x06: host bridges, PCI-to-PCI bridges and their kin, which no guest of its own is given. */
export const isBridge = ({ classCode }: { readonly classCode: number | null }): boolean =>
  classCode !== null && classCode >>> 16 === 0x06;
