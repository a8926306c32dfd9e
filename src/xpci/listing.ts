/** What `lspci -v` would print inside the guest. */
import { formatSbdf } from '../address.ts';
import type { Bar } from './bars.ts';
import type { GuestBus, InterruptState } from './bus.ts';
import type { Capability } from './capabilities.ts';
import type { GuestFunction } from './enumerate.ts';
import { capabilityName, className } from './names.ts';
import { CapabilityId } from './registers.ts';

/** The lines of a listing of all functions, by address. */
export function listBus(bus: GuestBus): string[] {
  const byAddress = bus.functions.toSorted((a, b) => a.address - b.address);
  return byAddress.flatMap((fn) => listFunction(fn, bus.interrupts(fn.address)));
}

/** The lines for one function: a headline, and below it, indented, what it consists of. */
export function listFunction(fn: GuestFunction, interrupts: InterruptState): string[] {
  const details = [
    ...(fn.subsystem && fn.subsystem.vendor !== 0
      ? [`Subsystem: ${hex(fn.subsystem.vendor, 4)}:${hex(fn.subsystem.device, 4)}`]
      : []),
    ...(fn.busesBehind
      ? [`Buses: ${hex(fn.busesBehind.secondary, 2)}-${hex(fn.busesBehind.subordinate, 2)}`]
      : []),
    `Interrupt: ${interruptDescriptions[interrupts.mode](fn, interrupts.vectors)}`,
    ...fn.bars.map(describeBar),
    ...fn.capabilities.map((capability) => describeCapability(capability, fn)),
  ];
  return [headline(fn), ...details.map((line) => `    ${line}`)];
}

function headline(fn: GuestFunction): string {
  const identity = `${hex(fn.vendor, 4)}:${hex(fn.device, 4)} (rev ${hex(fn.revision, 2)})`;
  return `${formatSbdf(fn.address)} ${className(fn.classCode)} [${hex(fn.classCode >>> 8, 4)}]: ${identity}`;
}

const interruptDescriptions: Readonly<
  Record<InterruptState['mode'], (fn: GuestFunction, vectors: readonly number[]) => string>
> = {
  none: () => 'none',
  intx: (fn, vectors) => `INT${'ABCD'[fn.interruptPin - 1] ?? '?'}, pirq ${abridge(vectors)}`,
  msi: (_, vectors) => `MSI, pirq ${abridge(vectors)}`,
  msix: (_, vectors) => `MSI-X, ${counted(vectors.length, 'vector')}, pirq ${abridge(vectors)}`,
};

function describeBar(bar: Bar): string {
  const size = `[size ${formatSize(bar.size)}]`;
  if (bar.kind === 'io') return `BAR ${bar.index}: I/O ports at ${hex(bar.base, 4)} ${size}`;
  if (bar.kind === 'rom') return `ROM: at ${hex(bar.base, 8)} ${size}`;
  const width = bar.kind === 'memory64' ? '64-bit' : '32-bit';
  const prefetch = bar.prefetchable ? 'prefetchable' : 'non-prefetchable';
  return `BAR ${bar.index}: memory at ${hex(bar.base, 8)} (${width}, ${prefetch}) ${size}`;
}

function describeCapability({ id, offset, extended, version }: Capability, fn: GuestFunction): string {
  const name = capabilityName(id, extended);
  const where = `[${hex(offset, extended ? 3 : 2)}]`;
  if (extended) return `Extended: ${where} ${name} v${version}`;
  const detail = offset === fn.msi?.offset || offset === fn.msix?.offset ? messageDetail(id, fn) : '';
  return `Capability: ${where} ${name}${detail}`;
}

function messageDetail(id: number, { msi, msix }: GuestFunction): string {
  if (id === CapabilityId.msi && msi) {
    const maskable = msi.maskable ? ', maskable' : '';
    return `: ${counted(msi.vectors, 'vector')}, ${msi.wide ? '64-bit' : '32-bit'}${maskable}`;
  }
  if (id === CapabilityId.msix && msix) {
    const { entries, table, pending } = msix;
    const place = (at: typeof table): string => `BAR ${at.bar} + 0x${at.offset.toString(16)}`;
    return `: ${entries} ${entries === 1 ? 'entry' : 'entries'}, table ${place(table)}, PBA ${place(pending)}`;
  }
  return '';
}

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** `56-60` for a run of consecutive numbers; all of them otherwise, up to eight. */
function abridge(numbers: readonly number[]): string {
  const [first = 0] = numbers;
  const isRun = numbers.length > 1 && numbers.every((value, i) => value === first + i);
  if (isRun) return `${first}-${first + numbers.length - 1}`;
  return numbers.slice(0, 8).join(' ') + (numbers.length > 8 ? ' ...' : '');
}

const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'] as const;

/** Sizes are powers of two, so that the largest unit always divides them: `32`, `128K`, `16M`. */
function formatSize(bytes: bigint): string {
  let unit = 0;
  while (bytes >= 1024n && unit < units.length - 1) {
    bytes /= 1024n;
    unit += 1;
  }
  return `${bytes}${units[unit] ?? ''}`;
}
