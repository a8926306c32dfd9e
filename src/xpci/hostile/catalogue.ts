/** Everything a hostile guest tries, in the order in which it tries it: what could disturb the others comes last. */
import { busOf, devfnOf } from '../../address.ts';
import type { GuestBus } from '../bus.ts';
import { offsetOf } from '../capabilities.ts';
import type { GuestFunction } from '../enumerate.ts';
import { CapabilityId, CommandBit, ExtendedCapabilityId, HeaderType, Register } from '../registers.ts';
import { requestAddress, type RawRequest } from '../requests.ts';
import { Command, maxMsixEntries, WireError } from '../../ring/layout.ts';
import type { Attempt, RequestAttempt, WriteAttempt } from './attempt.ts';
import { functionLevelResets, interruptOrder } from './deeds.ts';
import { pageDeeds } from './page-deeds.ts';
import { races } from './races.ts';

const inCapability = (id: number, offset: number) => (fn: GuestFunction) => within(fn, id, offset, false);
const inExtended = (id: number, offset: number) => (fn: GuestFunction) => within(fn, id, offset, true);

function within(fn: GuestFunction, id: number, offset: number, extended: boolean): number | undefined {
  const start = offsetOf(fn.capabilities, id, extended);
  return start === undefined ? undefined : start + offset;
}

const firstMemoryBar = (fn: GuestFunction): number | undefined => {
  const bar = fn.bars.find(({ kind }) => kind === 'memory32' || kind === 'memory64');
  return bar && Register.bar0 + 4 * bar.index;
};

const setting = (bits: number) => (before: number) => (before | bits) >>> 0;

const writes: readonly WriteAttempt[] = [
  {
    kind: 'write',
    name: 'relocate-bar',
    aim: 'move a memory BAR over somebody else’s memory',
    at: firstMemoryBar,
    size: 4,
    value: (before) => ((before & 0xf) | 0xd000_0000) >>> 0,
  },
  {
    kind: 'write',
    name: 'relocate-bar-bytewise',
    aim: 'move a memory BAR with narrow writes, past a check for whole ones',
    at: (fn) => offsetPlus(firstMemoryBar(fn), 2),
    size: 2,
    value: () => 0xd000,
  },
  {
    kind: 'write',
    name: 'enable-rom',
    aim: 'make the expansion ROM answer where the guest chooses',
    at: (fn) => (fn.bars.some(({ kind }) => kind === 'rom') ? romOffset(fn) : undefined),
    size: 4,
    value: () => 0xd000_0001,
  },
  {
    kind: 'write',
    name: 'forge-identity',
    aim: 'become another device for whoever gets the function next',
    at: () => Register.id,
    size: 4,
    value: () => 0x1234_5678,
  },
  {
    kind: 'write',
    name: 'forge-class',
    aim: 'look like a bridge to the next owner',
    at: () => Register.classAndRevision,
    size: 4,
    value: () => 0x0604_0000,
  },
  {
    kind: 'write',
    name: 'redirect-interrupt-line',
    aim: 'take another device’s interrupt',
    at: () => Register.interruptLine,
    size: 1,
    value: (before) => before ^ 0x0f,
  },
  {
    kind: 'write',
    name: 'clear-decode',
    aim: 'stop the function answering, so that a host access ends in an NMI (XSA-120)',
    at: () => Register.command,
    size: 2,
    value: (before) => before & ~(CommandBit.io | CommandBit.memory),
    shadowed: true,
  },
  {
    kind: 'write',
    name: 'msi-address',
    aim: 'aim message interrupts at memory of the guest’s choice (XSA-128)',
    at: inCapability(CapabilityId.msi, 4),
    size: 4,
    value: () => 0xfee0_0000,
  },
  {
    kind: 'write',
    name: 'msi-data',
    aim: 'raise any vector of the host',
    at: ({ msi }) => (msi ? msi.offset + (msi.wide ? 12 : 8) : undefined),
    size: 2,
    value: () => 0x4041,
  },
  {
    kind: 'write',
    name: 'msi-enable-raw',
    aim: 'switch MSI on behind the hypervisor’s back',
    at: inCapability(CapabilityId.msi, 2),
    size: 2,
    value: (before) => before ^ 1,
  },
  {
    kind: 'write',
    name: 'msix-enable-raw',
    aim: 'switch MSI-X on behind the hypervisor’s back',
    at: inCapability(CapabilityId.msix, 2),
    size: 2,
    value: (before) => before ^ 0x8000,
  },
  {
    kind: 'write',
    name: 'msix-move-table',
    aim: 'make the hypervisor take ordinary memory for the MSI-X table (XSA-337)',
    at: inCapability(CapabilityId.msix, 4),
    size: 4,
    value: (before) => before ^ 0x1000,
  },
  {
    kind: 'write',
    name: 'vpd-write',
    aim: 'rewrite the function’s serial EEPROM',
    at: inCapability(CapabilityId.vpd, 2),
    size: 2,
    value: () => 0x8004,
  },
  {
    kind: 'write',
    name: 'pme-enable',
    aim: 'wake the host with power management events',
    at: inCapability(CapabilityId.powerManagement, 4),
    size: 2,
    value: setting(0x0100),
    keeps: 0x0100,
  },
  {
    kind: 'write',
    name: 'relink-capabilities',
    aim: 'hide a capability from the next owner',
    at: (fn) => fn.capabilities.find(({ extended }) => !extended)?.offset,
    size: 2,
    value: (before) => before & 0xff,
  },
  {
    kind: 'write',
    name: 'sriov-enable',
    aim: 'make virtual functions that nobody filters',
    at: inExtended(ExtendedCapabilityId.sriov, 8),
    size: 2,
    value: setting(0x0009),
  },
  {
    kind: 'write',
    name: 'ats-enable',
    aim: 'let the function claim that its addresses are translated already',
    at: inExtended(ExtendedCapabilityId.ats, 6),
    size: 2,
    value: setting(0x8000),
  },
  {
    kind: 'write',
    name: 'mask-error-reports',
    aim: 'hide bus errors from the host',
    at: inExtended(ExtendedCapabilityId.advancedErrorReporting, 8),
    size: 4,
    value: () => 0xffff_ffff,
  },
  {
    kind: 'write',
    name: 'secondary-bus-reset',
    aim: 'reset everything behind a bridge',
    at: (fn) => (fn.headerLayout === HeaderType.bridge ? Register.bridgeControl : undefined),
    size: 2,
    value: setting(0x0040),
  },
];

const romOffset = ({ headerLayout }: GuestFunction): number =>
  headerLayout === HeaderType.bridge ? Register.bridgeRom : Register.rom;

const offsetPlus = (offset: number | undefined, plus: number): number | undefined =>
  offset === undefined ? undefined : offset + plus;

const read = (offset: number, size: number) => (fn: GuestFunction) => ({
  cmd: Command.confRead,
  ...requestAddress(fn.address),
  offset,
  size,
});

const command = (cmd: number) => (fn: GuestFunction) => ({ cmd, ...requestAddress(fn.address) });

/** A read of the identity that goes to an address beside the function's own. */
const readAt = (elsewhere: Partial<RawRequest>) => (fn: GuestFunction) => ({
  cmd: Command.confRead,
  ...requestAddress(fn.address),
  size: 4,
  ...elsewhere,
});

const msix =
  (count: number, entries: readonly number[] = []) =>
  (fn: GuestFunction) => ({ cmd: Command.enableMsix, ...requestAddress(fn.address), value: count, entries });

const { deviceNotFound, invalidOffset, notImplemented, operationFailed } = WireError;

type Row = readonly [name: string, aim: string, request: RequestAttempt['request'], err: number];

const requests: readonly Row[] = [
  ['offset-negative', 'reach memory in front of the space', read(-4, 4), invalidOffset],
  ['offset-most-negative', 'overflow the sum of offset and size', read(-0x8000_0000, 4), invalidOffset],
  ['offset-beyond', 'reach memory behind the space', read(0x1000, 4), invalidOffset],
  ['offset-huge', 'overflow the sum of offset and size', read(0x7fff_fffc, 4), invalidOffset],
  ['offset-odd', 'straddle two registers', read(0x01, 2), invalidOffset],
  ['offset-unaligned', 'straddle two registers', read(0x02, 4), invalidOffset],
  ['size-0', 'divide by zero', read(0, 0), invalidOffset],
  ['size-3', 'take a way that nobody tested', read(0, 3), invalidOffset],
  ['size-8', 'read more than an answer holds', read(0, 8), invalidOffset],
  ['size-negative', 'turn a length round', read(0, -1), invalidOffset],
  ['devfn-unknown', 'reach a function that was not exported', unknownDevfn, deviceNotFound],
  ['devfn-alias', 'reach a function by a number that wraps', aliasDevfn, deviceNotFound],
  ['bus-unknown', 'reach another bus of the host', unknownBus, deviceNotFound],
  ['bus-alias', 'reach a function by a number that wraps', readAt({ bus: 0x100 }), deviceNotFound],
  ['domain-0x10000', 'reach a segment by a number that wraps', readAt({ domain: 0x1_0000 }), deviceNotFound],
  ['domain-all-ones', 'reach a segment by a negative number', readAt({ domain: -1 }), deviceNotFound],
  ['command-unknown', 'run off the end of a table', command(11), notImplemented],
  ['command-all-ones', 'index a table with a negative number', command(-1), notImplemented],
  ['command-aer', 'play the back-end', command(Command.aerDetected), notImplemented],
  [
    'command-multi-msi',
    'take several vectors with one request',
    command(Command.enableMultiMsi),
    notImplemented,
  ],
  ['msix-none', 'ask for no vectors', msix(0), operationFailed],
  ['msix-too-many', 'overrun the table in the page (XSA-157)', msix(maxMsixEntries + 1), operationFailed],
  ['msix-huge', 'overrun the table in the page', msix(-1), operationFailed],
  ['msix-duplicate', 'program one entry twice', msix(2, [0, 0]), operationFailed],
  ['msix-out-of-range', 'write behind the table of the device (XSA-164)', msix(1, [0xffff]), operationFailed],
];

function aliasDevfn(fn: GuestFunction): RawRequest {
  return readAt({ devfn: devfnOf(fn.address) + 0x100 })(fn);
}

/** The highest device and function number on this bus at which the scan found nobody. */
function unknownDevfn(fn: GuestFunction, bus: GuestBus): RawRequest {
  const taken = new Set(bus.functions.map(({ address }) => devfnOf(address)));
  return readAt({ devfn: highestFree(taken) })(fn);
}

function unknownBus(fn: GuestFunction, bus: GuestBus): RawRequest {
  const taken = new Set(bus.functions.map(({ address }) => busOf(address)));
  return readAt({ bus: highestFree(taken) })(fn);
}

function highestFree(taken: ReadonlySet<number>): number {
  let candidate = 0xff;
  while (taken.has(candidate)) candidate -= 1;
  return candidate;
}

export const catalogue: readonly Attempt[] = [
  ...writes,
  ...requests.map(([name, aim, request, err]) => ({ kind: 'request' as const, name, aim, request, err })),
  interruptOrder,
  ...races,
  ...pageDeeds,
  ...functionLevelResets,
];
