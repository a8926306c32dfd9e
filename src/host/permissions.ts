/**
 * What a guest gets from Xen along with a function, and loses again. The assignment comes first, so that there is no moment in which
 * a guest can program a function that reaches the host's memory; it goes last, after the reset.
 */
import { getSystemErrorName } from 'node:util';
import { formatSbdf, type Sbdf } from '../address.ts';
import type { Resource } from '../config-space/access.ts';
import { PcibackError } from '../errors.ts';
import type { Hypervisor } from './hypervisor.ts';
import type { Belongings } from './platform.ts';
import { pagesBeside } from './shared-pages.ts';

/** DOMID_IO: what is assigned to it reaches no memory (xen/include/public/xen.h; `iommu=quarantine` of Xen's command line). */
export const quarantineDomid = 0x7ff1;

/** Larger lines do not fit the Interrupt Line register, and 0xFF means "not connected" (PCI Local Bus 3.0, 6.2.4). */
const lastLine = 0xfe;

type Calls = Pick<
  Hypervisor,
  | 'assignDevice'
  | 'deassignDevice'
  | 'memoryPermission'
  | 'portPermission'
  | 'irqPermission'
  | 'mapGsi'
  | 'unmapPirq'
>;

/** One thing that is given: how, how it is taken back, and what to call it. */
interface Gift {
  readonly what: string;
  readonly give: () => number;
  readonly take: () => number;
}

const errno = { ESRCH: 3, EBUSY: 16, ENODEV: 19, EINVAL: 22, ENOSYS: 38, EOPNOTSUPP: 95 } as const;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Memory is given by the page: a page in which the guest has registers of another function as well is not taken from it. */
function rangeGift(calls: Calls, domid: number, resource: Resource, others: readonly Belongings[]): Gift {
  const { kind, start, size } = resource;
  if (kind === 'io') {
    const change = (allow: boolean) => () => calls.portPermission(domid, Number(start), Number(size), allow);
    return { what: `the ports from ${hex(start)}`, give: change(true), take: change(false) };
  }
  const take = (): number => {
    const results = pagesBeside(resource, others).map((own) =>
      calls.memoryPermission(domid, own.start, own.size, false),
    );
    return results.find((result) => result !== 0) ?? 0;
  };
  const give = (): number => calls.memoryPermission(domid, start, size, true);
  return { what: `the memory from ${hex(start)}`, give, take };
}

/**
 * The guest may bind the line, and has a pirq to bind it by. A toolstack may have taken both away already. While another function of
 * the guest uses the line both stay: Xen would cut it off for that one too (xen/arch/x86/irq.c, unmap_domain_pirq).
 */
function lineGifts(calls: Calls, domid: number, irq: number, others: readonly Belongings[]): readonly Gift[] {
  if (irq === 0 || irq > lastLine) return [];
  const what = `interrupt ${irq}`;
  const unlessShared = (take: () => number) => () =>
    others.some((other) => other.irq === irq) ? 0 : unlessGone(take());
  return [
    {
      what,
      give: () => Math.min(calls.mapGsi(domid, irq), 0),
      take: unlessShared(() => calls.unmapPirq(domid, irq)),
    },
    {
      what,
      give: () => calls.irqPermission(domid, irq, true),
      take: unlessShared(() => calls.irqPermission(domid, irq, false)),
    },
  ];
}

const unlessGone = (result: number): number => (result === -errno.EINVAL ? 0 : result);

const permissions = (
  calls: Calls,
  domid: number,
  { resources, irq }: Belongings,
  others: readonly Belongings[],
): readonly Gift[] => [
  ...resources.map((resource) => rangeGift(calls, domid, resource, others)),
  ...lineGifts(calls, domid, irq, others),
];

/**
 * Gives a guest everything that belongs to a function; what fails takes what was given with it, but for what belongs to `others` that
 * the guest has. Throws NO-PASSTHROUGH, FUNCTION-IN-USE, HYPERCALL-FAILED, or QUARANTINED when the guest keeps some of it.
 */
export function assign(
  calls: Calls,
  domid: number,
  belongings: Belongings,
  withoutIommu: boolean,
  others: readonly Belongings[] = [],
): void {
  const { sbdf } = belongings;
  const given: Gift[] = [];
  const assignment: Gift = {
    what: 'the function itself',
    give: () => assignDevice(calls, domid, sbdf, withoutIommu),
    take: () => deassignDevice(calls, domid, sbdf),
  };
  for (const gift of [assignment, ...permissions(calls, domid, belongings, others)]) {
    const result = gift.give();
    if (result === 0) {
      given.push(gift);
      continue;
    }
    const refusal =
      gift === assignment
        ? assignmentRefused(domid, belongings, result)
        : hypercallFailed(`Xen does not give ${gift.what} of ${formatSbdf(sbdf)} to domain ${domid}`, result);
    const [kept] = takeAll(domid, sbdf, given);
    if (!kept) throw refusal;
    const message = `${refusal.message}; and ${kept.message}`;
    throw new PcibackError('QUARANTINED', message, kept.remedy, { cause: refusal });
  }
}

/** Takes back what was given last first. All of it is tried; what comes back is what a domain that still exists did not lose. */
function takeAll(domid: number, sbdf: Sbdf, gifts: readonly Gift[]): readonly PcibackError[] {
  return gifts.toReversed().flatMap(({ what, take }) => {
    const result = take();
    return result === 0 || result === -errno.ESRCH ? [] : [notTaken(what, domid, sbdf, result)];
  });
}

/** Whoever cannot take something from a domain destroys it: Xen takes everything from one that ends. */
function notTaken(what: string, domid: number, sbdf: Sbdf, result: number): PcibackError {
  const name = formatSbdf(sbdf);
  return hypercallFailed(
    `Xen does not take ${what} of ${name} from domain ${domid}`,
    result,
    `destroy domain ${domid}, which takes it back for certain; then: pciback reset ${name}`,
  );
}

/**
 * A toolstack may have assigned it to this guest before it asked us; that it can be taken from this very guest is the only proof
 * that it was not given to another.
 */
function assignDevice(calls: Calls, domid: number, sbdf: Sbdf, withoutIommu: boolean): number {
  let result = calls.assignDevice(domid, sbdf);
  if (result === -errno.EBUSY && calls.deassignDevice(domid, sbdf) === 0) {
    result = calls.assignDevice(domid, sbdf);
  }
  return withoutIommu && isUnsupported(result) ? 0 : result;
}

type Deassigning = Pick<Calls, 'deassignDevice'>;

/** A toolstack may have taken it from the domain before us, and one without an IOMMU context never had it. */
export function deassignDevice(calls: Deassigning, domid: number, sbdf: Sbdf): number {
  const result = calls.deassignDevice(domid, sbdf);
  return result === -errno.ENODEV || isUnsupported(result) ? 0 : result;
}

/** The function reaches nothing of the domain afterwards. Throws HYPERCALL-FAILED. */
export function deassign(calls: Deassigning, domid: number, sbdf: Sbdf): void {
  const result = deassignDevice(calls, domid, sbdf);
  if (result !== 0 && result !== -errno.ESRCH) throw notTaken('the assignment', domid, sbdf, result);
}

const isUnsupported = (result: number): boolean => result === -errno.ENOSYS || result === -errno.EOPNOTSUPP;

/**
 * Takes everything back but the assignment, and what belongs to `others` that the guest keeps. All of it is tried, so that one
 * failure leaves the guest no more than it has to. A domain that is gone has nothing. Throws HYPERCALL-FAILED.
 */
export function revoke(
  calls: Calls,
  domid: number,
  belongings: Belongings,
  others: readonly Belongings[] = [],
): void {
  const [failure] = takeAll(domid, belongings.sbdf, permissions(calls, domid, belongings, others));
  if (failure) throw failure;
}

function assignmentRefused(domid: number, { sbdf }: Belongings, result: number): PcibackError {
  const name = formatSbdf(sbdf);
  if (isUnsupported(result)) {
    return new PcibackError(
      'NO-PASSTHROUGH',
      `domain ${domid} was created without an IOMMU context, so it cannot have ${name}`,
      'create it with passthrough="enabled" and e820_host=1, or with the function in its pci=[...]',
    );
  }
  if (result === -errno.EBUSY) {
    return assignedToAnother(sbdf);
  }
  return hypercallFailed(`Xen does not assign ${name} to domain ${domid}`, result);
}

/** Some toolstack has given it to a guest. */
export function assignedToAnother(sbdf: Sbdf): PcibackError {
  return new PcibackError(
    'FUNCTION-IN-USE',
    `Xen has assigned ${formatSbdf(sbdf)} to another domain`,
    'see who has it: xenstore-ls /libxl/pci, xl pci-list',
  );
}

/** A hypercall that came back with a negative errno. */
export function hypercallFailed(
  what: string,
  result: number,
  remedy = "see what Xen says of it: xl dmesg, with loglvl=all on Xen's command line",
): PcibackError {
  return new PcibackError('HYPERCALL-FAILED', `${what}: ${getSystemErrorName(result)}`, remedy);
}
